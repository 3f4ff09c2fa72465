"""The text that a scrape gets."""

from __future__ import annotations

__all__ = ["total"]


def total(text: str, name: str) -> float | None:
    """Return the sum of all samples of a metric; None where it has none."""
    lines = [line for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
    return sum(float(line.rpartition(" ")[2]) for line in lines) if lines else None
