"""What labels say of a model, in one record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Scored"]


@dataclass(frozen=True, slots=True)
class Scored:
    """The score of the latest labelled rows beside that of held-out rows; `score` is NaN without labels.

    Attributes:
        rows: labelled rows in all.
        interval: of all labels since the model was announced, at 95 % and at any time; None for fewer than 30.
    """

    metric: str
    baseline: float
    score: float
    rows: int
    degraded: bool
    interval: tuple[float, float] | None

    def to_json(self) -> dict[str, Any]:
        return {
            "metric": self.metric,
            "baseline": self.baseline,
            "score": self.score if self.rows else None,
            "rows": self.rows,
            "degraded": self.degraded,
            "interval": None if self.interval is None else list(self.interval),
        }
