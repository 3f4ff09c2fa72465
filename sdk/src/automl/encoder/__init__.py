"""Raw rows and tables as the float32 matrix that learners see."""

from __future__ import annotations

from automl.encoder.encoder import Encoder

__all__ = ["Encoder"]
