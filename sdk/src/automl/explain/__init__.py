"""What the columns bring to a prediction, and to the model as a whole."""

from automl.explain.contributions import explain
from automl.explain.importance import importance

__all__ = ["explain", "importance"]
