"""Predict encoded rows with a weighted ensemble of flat models."""

from automl.predictor.parts import Opaque, Part
from automl.predictor.predictor import Predictor

__all__ = ["Opaque", "Part", "Predictor"]
