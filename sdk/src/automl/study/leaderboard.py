"""What was tried, best first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from automl_core import TrialState

if TYPE_CHECKING:
    from automl.metrics import Metric
    from automl.study.finish import Shipment
    from automl.study.loop import Loop

__all__ = ["Leaderboard", "make_leaderboard"]

SHOWN = ("rank", "name", "score", "weight", "seconds", "rounds", "view", "state")
LARGE = ("rows", "held_out", "held_out_rows")  # where the table was read in batches


class Leaderboard(Sequence[Mapping[str, Any]]):
    """Rows as dictionaries: rank, name, learner, score, loss, weight, seconds, elapsed, rounds, view, state, error,
    params.

    `score` is out of fold, in the metric's own direction; `weight` is the share in the ensemble; `elapsed` is the seconds
    from the study's start to the trial's end. Of a table that was read in batches also: rows, that a model learned from;
    and of the ensemble held_out, its score on rows that no model saw, and held_out_rows, how many.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], metric: str) -> None:
        self.rows, self.metric = list(rows), metric

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return iter(self.rows)

    def __str__(self) -> str:
        shown = self._shown()
        cells = [[_cell(row.get(name)) for name in shown] for row in self.rows]
        head = [self.metric if name == "score" else name for name in shown]
        widths = [max(len(row[i]) for row in [head, *cells]) for i in range(len(head))]
        lines = (
            "  ".join(text.ljust(w) for text, w in zip(row, widths, strict=True)).rstrip() for row in [head, *cells]
        )
        return "\n".join(lines)

    def _shown(self) -> tuple[str, ...]:
        """Return the columns to show: those of several targets tell which one, and by which metric."""
        if not self.rows or "target" not in self.rows[0]:
            return *SHOWN, *(name for name in LARGE if any(name in row for row in self.rows))
        return ("target", *(() if self.metric != "score" else ("metric",)), *SHOWN)

    def __repr__(self) -> str:
        return f"<Leaderboard of {len(self)} by {self.metric}>\n{self}"

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(self.metric if name == 'score' else name)}</th>" for name in self._shown())
        rows = ("".join(f"<td>{escape(_cell(row.get(name)))}</td>" for name in self._shown()) for row in self.rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(f'<tr>{r}</tr>' for r in rows)}</tbody></table>"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def make_leaderboard(loop: Loop, shipment: Shipment, metric: Metric) -> Leaderboard:
    """List the ensemble and every trial; those without a score come last, with their reason."""
    rows = [_row(loop, shipment, member, metric) for member in loop.members]
    rows.sort(key=lambda row: (row["loss"] is None, row["loss"] or 0.0))
    if shipment.ensemble is not None:
        loss = shipment.ensemble.loss
        seconds = sum(member.seconds for member in loop.members)
        rows.insert(0, {
            "name": "ensemble", "learner": "ensemble", "score": metric.to_score(loss), "loss": loss, "weight": 1.0,
            "seconds": round(seconds, 3), "rounds": None, "view": None, "state": shipment.ensemble.method,
            "error": None, "params": {}, "nested_score": metric.to_score(shipment.ensemble.nested),
        })  # fmt: skip
    return Leaderboard([{"rank": rank, **row} for rank, row in enumerate(rows)], metric.name)


def _row(loop: Loop, shipment: Shipment, member: Any, metric: Metric) -> dict[str, Any]:
    trial = member.trial
    done = trial.state == TrialState.COMPLETE
    return {
        "name": f"{trial.learner}#{trial.id}",
        "learner": trial.learner,
        "score": metric.to_score(trial.loss) if done else None,
        "loss": trial.loss if done else None,
        "weight": round(shipment.shares.get(trial.id, 0.0), 4),
        "seconds": round(trial.seconds, 3),
        "elapsed": None if member.ended is None else round(member.ended, 3),
        "rounds": trial.rounds,
        "view": member.view,
        "state": str(trial.state),
        "error": trial.error,
        "params": dict(trial.params),
    }
