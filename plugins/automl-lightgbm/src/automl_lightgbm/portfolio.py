"""What a search may choose, and what is worth trying first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from automl_core import Candidate, Choice, Float, Int, Space

__all__ = ["make_portfolio", "make_space"]


def make_space() -> Space:
    """Return the space of TabArena's LightGBM (Erickson et al. 2025), with rates for shorter runs."""
    return Space({
        "learning_rate": Float(0.01, 0.3, log=True),
        "num_leaves": Int(4, 255, log=True),
        "min_data_in_leaf": Int(1, 64, log=True),
        "feature_fraction": Float(0.4, 1.0),
        "bagging_fraction": Float(0.7, 1.0),
        "lambda_l1": Float(1e-4, 1.0, log=True),
        "lambda_l2": Float(1e-4, 2.0, log=True),
        "extra_trees": Choice((False, True)),
        "cat_smooth": Float(1e-3, 100.0, log=True),
        "cat_l2": Float(5e-3, 2.0, log=True),
        "max_cat_to_onehot": Int(4, 100, log=True),
        "min_data_per_group": Int(2, 100, log=True),
        "max_bin": Choice((255, 127, 511)),
    })  # fmt: skip


def learning_rate(rows: int) -> float:
    """Return the rate at which a few hundred to a thousand rounds suffice: it grows with the rows, as their cost does."""
    return min(max(0.03 * (rows / 1000) ** 0.25, 0.03), 0.1)


# Columns: rank, num_leaves, min_data_in_leaf, feature_fraction, bagging_fraction, lambda_l1, lambda_l2, extra_trees,
# cat_l2, cat_smooth, max_cat_to_onehot, min_data_per_group, view. After the portfolio that AutoGluon learned on TabArena
# (zeroshot_portfolio_cpu_2025_12_18, with its priorities as ranks); learning rates are ours, as its runs are longer.
TABLE: tuple[tuple[Any, ...], ...] = (
    (12, 64, 28, 0.5534, 0.9923, 0.9144, 1.904, True, 0.01429, 1.866, 18, 54, "derived"),
    (13, 39, 3, 0.4622, 0.8769, 0.2375, 0.3552, True, 0.3418, 15.43, 16, 9, "base"),
    (15, 84, 3, 0.528, 0.9784, 0.02693, 0.8375, False, 0.1553, 0.009312, 42, 75, "base"),
    (17, 8, 15, 0.4248, 0.7215, 0.113, 0.2623, True, 1.887, 0.02787, 9, 10, "derived"),
    (18, 180, 12, 0.4045, 0.9501, 0.7662, 1.604, True, 0.2159, 0.06382, 11, 3, "base"),
    (20, 16, 1, 0.5792, 0.9592, 0.9385, 0.99, False, 1.896, 0.02152, 27, 39, "derived"),
    (22, 20, 2, 0.4251, 0.7112, 0.5141, 0.5134, False, 0.8679, 48.72, 16, 32, "base"),
    (23, 5, 12, 0.7335, 0.8541, 0.2413, 0.2981, True, 0.01103, 5.091, 67, 93, "base"),
    (26, 8, 24, 0.94, 0.8148, 0.4369, 0.2998, False, 0.005836, 0.02894, 28, 3, "base"),
    (27, 64, 1, 0.668, 0.9592, 0.01251, 0.7157, False, 0.07319, 0.1369, 20, 2, "derived"),
    (28, 32, 1, 0.4974, 0.9918, 0.7971, 1.218, True, 0.9842, 0.004969, 13, 4, "derived"),
    (29, 128, 9, 0.6189, 0.8836, 0.6514, 1.738, True, 0.6608, 0.04519, 9, 3, "derived"),
    (33, 14, 1, 0.8588, 0.9994, 0.04136, 0.2259, False, 0.007688, 89.46, 11, 26, "base"),
    (34, 111, 3, 0.9551, 0.7199, 0.111, 0.5969, False, 0.937, 11.1, 8, 8, "base"),
    (36, 16, 12, 0.6882, 0.7106, 0.8733, 0.4467, False, 0.156, 0.003637, 78, 2, "derived"),
    (41, 24, 1, 0.4905, 0.7801, 0.6421, 0.5813, False, 0.007144, 0.1338, 38, 83, "base"),
)
NAMES = (
    "num_leaves", "min_data_in_leaf", "feature_fraction", "bagging_fraction", "lambda_l1", "lambda_l2", "extra_trees",
    "cat_l2", "cat_smooth", "max_cat_to_onehot", "min_data_per_group",
)  # fmt: skip
FEW_ROWS = 2_000
FEW_LEAVES = 20


def make_portfolio(rows: int) -> list[Candidate]:
    """Return an anchor and the table; trees of few leaves come first where there are few rows."""
    rate = learning_rate(rows)
    anchor: Mapping[str, Any] = {
        "learning_rate": rate,
        "num_leaves": 16 if rows <= FEW_ROWS else 50,
        "min_data_in_leaf": 10,
        "feature_fraction": 0.8,
        "bagging_fraction": 0.9,
        "lambda_l2": 1.0,
        "cat_smooth": 1.0,
        "cat_l2": 1.0,
        "min_data_per_group": 10,
    }
    found = [Candidate(anchor, rank=1.0)]
    for rank, *values, view in TABLE:
        params = dict(zip(NAMES, values, strict=True))
        # Small trees learn less a round: a greater rate keeps their number of rounds, and so their cost, in bounds.
        params["learning_rate"] = rate * min(max((32 / params["num_leaves"]) ** 0.35, 0.8), 2.0)
        early = rows <= FEW_ROWS and params["num_leaves"] <= FEW_LEAVES
        found.append(Candidate(params, rank=float(rank) - (10 if early else 0) + (1 if early else 0), view=view))
    return found
