"""Memory of this machine and of this process, in bytes."""

from __future__ import annotations

import math
import sys
from pathlib import Path

__all__ = ["free_memory", "peak_memory"]


def free_memory() -> float:
    """Return what may be used before the machine swaps; infinite where nobody tells."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return math.inf
    available = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return float(available[0]) * 1024 if available else math.inf


def peak_memory() -> int | None:
    """Return the greatest resident size that this process has had; None on a system that does not tell."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
