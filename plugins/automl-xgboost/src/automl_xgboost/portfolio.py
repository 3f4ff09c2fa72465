"""What a search may choose, and what is worth trying first."""

from __future__ import annotations

from typing import Any

from automl_core import Candidate, Choice, Float, Int, Space

__all__ = ["make_portfolio", "make_space"]


def make_space() -> Space:
    """Return the space of TabArena's XGBoost (Erickson et al. 2025), with rates for shorter runs."""
    return Space({
        "learning_rate": Float(0.01, 0.3, log=True),
        "max_depth": Int(2, 12, log=True),
        "max_leaves": Int(0, 128),
        "min_child_weight": Float(1e-3, 10.0, log=True),
        "subsample": Float(0.6, 1.0),
        "colsample_bylevel": Float(0.5, 1.0),
        "colsample_bynode": Float(0.4, 1.0),
        "reg_alpha": Float(1e-4, 5.0, log=True),
        "reg_lambda": Float(1e-4, 5.0, log=True),
        "grow_policy": Choice(("depthwise", "lossguide")),
        "max_cat_to_onehot": Int(4, 100, log=True),
    })  # fmt: skip


def learning_rate(rows: int) -> float:
    """Return the rate at which a few hundred rounds suffice: it grows with the rows, as their cost does."""
    return float(min(max(0.03 * (rows / 1000) ** 0.25, 0.03), 0.1))


# After AutoGluon's portfolios learned on TabRepo and TabArena, with their priorities as ranks; rates are ours.
TABLE: tuple[tuple[float, dict[str, Any]], ...] = (
    (8.0, {"max_depth": 6, "min_child_weight": 1.0, "subsample": 0.9, "colsample_bynode": 0.7, "reg_lambda": 1.5}),
    (19.0, {
        "grow_policy": "lossguide", "max_depth": 6, "max_leaves": 10, "min_child_weight": 0.05073, "subsample": 0.9656,
        "colsample_bylevel": 0.9214, "colsample_bynode": 0.6443, "reg_alpha": 4.245, "reg_lambda": 1.48, "max_cat_to_onehot": 8,
    }),
    (26.0, {"max_depth": 10, "min_child_weight": 0.6029, "colsample_bylevel": 0.6917, "subsample": 0.9}),
    (28.0, {
        "grow_policy": "lossguide", "max_depth": 10, "max_leaves": 35, "min_child_weight": 0.1403, "subsample": 0.6949,
        "colsample_bylevel": 0.6377, "colsample_bynode": 0.9238, "reg_alpha": 3.496, "reg_lambda": 1.306, "max_cat_to_onehot": 33,
    }),
    (42.0, {"max_depth": 4, "min_child_weight": 0.9239, "colsample_bylevel": 0.7507}),
)  # fmt: skip


def make_portfolio(rows: int) -> list[Candidate]:
    rate = learning_rate(rows)
    # XGBoost splits categories of many levels badly: their target encodings serve it better.
    return [Candidate({"learning_rate": rate, **params}, rank=rank, view="encoded") for rank, params in TABLE]
