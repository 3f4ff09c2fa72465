"""How much memory this process may use."""

from __future__ import annotations

import resource
from pathlib import Path

__all__ = ["memory_limit"]

SHARE = 0.5  # of what is free: models, the tables of callers and other processes need some, too
GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_limit() -> int:
    """Return half of the bytes that are free, or of what a limit of the process or its container leaves."""
    found = [_free()]
    for path in GROUPS:
        text = Path(path).read_text(encoding="utf-8").strip() if Path(path).is_file() else "max"
        found += [float(text)] if text.isdigit() else []
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        soft = resource.getrlimit(kind)[0]
        found += [] if soft == resource.RLIM_INFINITY else [float(soft)]
    return int(SHARE * min(found)) if min(found) < float("inf") else 1 << 62


def _free() -> float:
    path = Path("/proc/meminfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return next((float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), float("inf"))
