"""What a search may choose, and what is worth trying first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from automl_core import REGRESSION, Candidate, Choice, Float, Int, Space, When

if TYPE_CHECKING:
    from automl_core import Column

__all__ = ["learning_rate", "make_portfolio", "make_space"]

LEAVES_LIMITED = When("grow_policy", ("Depthwise", "Lossguide"))


def make_space() -> Space:
    """Return the space of TabArena's CatBoost (Erickson et al. 2025), with rates for shorter runs."""
    return Space({
        "learning_rate": Float(0.01, 0.3, log=True),
        "grow_policy": Choice(("SymmetricTree", "Depthwise", "Lossguide")),
        "depth": Int(2, 10),
        "max_leaves": Int(4, 64, log=True, when=When("grow_policy", ("Lossguide",))),
        "min_data_in_leaf": Int(1, 64, log=True, when=LEAVES_LIMITED),
        "l2_leaf_reg": Float(1e-4, 10.0, log=True),
        "subsample": Float(0.6, 1.0),
        "rsm": Float(0.05, 1.0),
        "random_strength": Float(0.0, 2.0),
        "leaf_estimation_iterations": Int(1, 20, log=True),
        "one_hot_max_size": Int(2, 100, log=True),
        "max_ctr_complexity": Int(1, 5),
        "model_size_reg": Float(0.1, 1.5, log=True),
        "border_count": Choice((254, 128, 64, 32)),
    })  # fmt: skip


def learning_rate(task: str, rows: int) -> float:
    """Return CatBoost's own rate for 2,000 rounds, times what brings that down to about 500.

    CatBoost's law, as fitted to its choices: .0259 (rows / 200) ^ .157 for numbers, .0158 (rows / 200) ^ .247 for
    classes.
    """
    scale = max(rows, 1) / 200
    law = 0.0259 * scale**0.157 if task == REGRESSION else 0.0158 * scale**0.247
    return float(min(max(1.5 * law, 0.04), 0.15))


def make_portfolio(task: str, rows: int, columns: Sequence[Column]) -> list[Candidate]:
    return [Candidate({"learning_rate": learning_rate(task, rows)}, rank=2.0)]
