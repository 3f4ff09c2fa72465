"""Models as files: one file, checked on the way in, that runs no code from it."""

from automl.artifact.load import load_model, read_manifest
from automl.artifact.save import save_model

__all__ = ["load_model", "read_manifest", "save_model"]
