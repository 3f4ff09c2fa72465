"""What a search may choose, what a fit takes where nothing is chosen, and what is worth trying first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from automl_core import REGRESSION, Candidate, Choice, Float, Int, Space, When

if TYPE_CHECKING:
    from automl_core import Column, Scalar

__all__ = ["make_defaults", "make_portfolio", "make_space"]

MANY_ROWS = 20_000  # from here on combinations of categories cost more than they bring by default
MANY_CLASSES = 5  # each round fits one output per class
BEYOND = When("grow_policy", ("Depthwise", "Lossguide"))


def make_space() -> Space:
    """Return the space of TabArena's CatBoost (Erickson et al. 2025), with rates for shorter runs."""
    return Space({
        "learning_rate": Float(0.01, 0.3, log=True),
        "grow_policy": Choice(("SymmetricTree", "Depthwise", "Lossguide")),
        "depth": Int(2, 10),
        "max_leaves": Int(4, 64, log=True, when=When("grow_policy", ("Lossguide",))),
        "min_data_in_leaf": Int(1, 64, log=True, when=BEYOND),
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


def make_defaults(task: str, rows: int, columns: int, classes: int) -> dict[str, Scalar]:
    """Return what a fit takes for parameters that are left out, chosen for short runs.

    CatBoost's own `one_hot_max_size` of 2 makes statistics of every category of three levels: with 10, rounds were 2 to
    8 times faster on five data sets of mixed kind, at the same loss.

    Args:
        rows: of the whole table, so that all folds and the final fit take the same.
    """
    many = classes > MANY_CLASSES
    return {
        "learning_rate": _learning_rate(task, rows) * (1.5 if many else 1.0),
        "one_hot_max_size": 10,
        "max_ctr_complexity": 2 if rows <= MANY_ROWS else 1,
        "rsm": min(1.0, 10.0 / columns**0.5) * (0.5 if many else 1.0),
        "border_count": 254,
    }


def _learning_rate(task: str, rows: int) -> float:
    """Return CatBoost's own rate for 2,000 rounds, raised with the rows as a round costs more.

    Its law, as fitted to its choices: .0259 (rows / 200) ^ .157 for numbers, .0158 (rows / 200) ^ .247 for classes.
    """
    scale = max(rows, 1) / 200
    law = 0.0259 * scale**0.157 if task == REGRESSION else 0.0158 * scale**0.247
    faster = min(1.0 + (rows / 10_000) ** 0.5, 3.0)
    return float(min(max(faster * law, 0.04), 0.2))


# After the portfolios that AutoGluon learned on TabRepo and TabArena (zeroshot_2023, zeroshot_portfolio_cpu_2025_12_18),
# with ten more than their priorities as ranks, and one of leaf-wise trees. Rates are ours, as their runs are longer,
# and so is `one_hot_max_size` where it was below ours.
DEEP, SHALLOW = {"depth": 8}, {"depth": 4}
TABLE: tuple[tuple[float, dict[str, Scalar]], ...] = (
    (11, {"l2_leaf_reg": 2.154, "max_ctr_complexity": 4}),
    (15, {**DEEP, "grow_policy": "Depthwise", "l2_leaf_reg": 2.8, "max_ctr_complexity": 2}),
    (20, {**SHALLOW, "l2_leaf_reg": 4.559, "max_ctr_complexity": 3}),
    (22, {**DEEP, "l2_leaf_reg": 3.327, "max_ctr_complexity": 5}),
    (25, {
        **DEEP, "grow_policy": "Depthwise", "l2_leaf_reg": 0.3628, "leaf_estimation_iterations": 5, "subsample": 0.812,
        "rsm": 0.8598, "max_ctr_complexity": 4, "model_size_reg": 0.1254, "one_hot_max_size": 20,
    }),
    (27, {
        **SHALLOW, "l2_leaf_reg": 0.002692, "leaf_estimation_iterations": 12, "subsample": 0.7986, "rsm": 0.8959,
        "max_ctr_complexity": 5, "model_size_reg": 0.1633, "one_hot_max_size": 11,
    }),
    (30, {**SHALLOW, "grow_policy": "Depthwise", "l2_leaf_reg": 2.702, "max_ctr_complexity": 1}),
    (34, {"depth": 5, "l2_leaf_reg": 1.046, "max_ctr_complexity": 5}),
    (40, {**DEEP, "grow_policy": "Lossguide", "max_leaves": 31, "min_data_in_leaf": 5, "l2_leaf_reg": 3.0}),
    (43, {"depth": 7, "l2_leaf_reg": 4.523, "max_ctr_complexity": 3}),
)  # fmt: skip
OF_CATEGORIES = ("max_ctr_complexity", "model_size_reg", "one_hot_max_size")


def make_portfolio(task: str, rows: int, columns: Sequence[Column]) -> list[Candidate]:
    """Return the defaults, a faster version of them for many rows, and the table."""
    found = [Candidate({}, rank=2.0)]
    if rows > MANY_ROWS:
        found.append(Candidate({"learning_rate": 0.3, "depth": 5}, rank=9.0))
    categorical = any(column.categorical for column in columns)
    return found + [Candidate(_fitting(params, rows, categorical), rank=rank) for rank, params in TABLE]


def _fitting(params: dict[str, Scalar], rows: int, categorical: bool) -> dict[str, Scalar]:
    """Leave out what has no effect, and combinations that many rows make slow."""
    if not categorical:
        return {name: value for name, value in params.items() if name not in OF_CATEGORIES}
    if rows > MANY_ROWS and "max_ctr_complexity" in params:
        return {**params, "max_ctr_complexity": min(2, int(params["max_ctr_complexity"] or 1))}
    return dict(params)
