"""What a worker knows of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import time

__all__ = ["State"]


@dataclass(slots=True)
class State:
    """`draining` takes the worker out of rotation: it still answers, and closes connections when it has."""

    draining: bool = False
    started: float = field(default_factory=time)
