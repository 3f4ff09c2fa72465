"""Models in the formats of others."""

from automl.export.onnx import export_onnx

__all__ = ["export_onnx"]
