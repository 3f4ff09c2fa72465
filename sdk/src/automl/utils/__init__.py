"""The production guide's import path of loading models."""
