"""What a search may choose, and what is worth trying first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from automl_core import REGRESSION, Candidate, Choice, Float, Int, Space

if TYPE_CHECKING:
    from automl_core.space import Scalar

__all__ = ["learning_rate", "make_portfolio", "make_space"]


def make_space() -> Space:
    """Return the space of TabArena's LightGBM (Erickson et al. 2025), with room for shorter runs and smaller trees."""
    return Space({
        "learning_rate": Float(0.005, 0.3, log=True),
        "num_leaves": Int(2, 255, log=True),
        "min_data_in_leaf": Int(1, 64, log=True),
        "feature_fraction": Float(0.4, 1.0),
        "bagging_fraction": Float(0.7, 1.0),
        "lambda_l1": Float(0.0, 1.0),
        "lambda_l2": Float(0.0, 2.0),
        "extra_trees": Choice((False, True)),
        "cat_smooth": Float(1e-3, 100.0, log=True),
        "cat_l2": Float(5e-3, 10.0, log=True),
        "max_cat_to_onehot": Int(4, 100, log=True),
        "min_data_per_group": Int(2, 100, log=True),
    })  # fmt: skip


# The LightGBM models of a portfolio that AutoGluon learned on TabArena (zeroshot_portfolio_cpu_2025_12_18); "derived"
# stands where that model was fitted on target encodings, crosses or arithmetic too.
NAMES = (
    "learning_rate", "num_leaves", "min_data_in_leaf", "feature_fraction", "bagging_fraction", "lambda_l1", "lambda_l2",
    "extra_trees", "cat_l2", "cat_smooth", "max_cat_to_onehot", "min_data_per_group",
)  # fmt: skip
TABLE: tuple[tuple[Any, ...], ...] = (
    # place, the parameters in the order of NAMES, view
    (2, 0.01932, 64, 28, 0.5534, 0.9923, 0.9144, 1.904, True, 0.01429, 1.866, 18, 54, "derived"),
    (3, 0.01786, 39, 3, 0.4622, 0.8769, 0.2375, 0.3552, True, 0.3418, 15.43, 16, 9, "base"),
    (5, 0.01139, 84, 3, 0.528, 0.9784, 0.02693, 0.8375, False, 0.1553, 0.009312, 42, 75, "base"),
    (7, 0.00742, 8, 15, 0.4248, 0.7215, 0.113, 0.2623, True, 1.887, 0.02787, 9, 10, "derived"),
    (8, 0.01798, 180, 12, 0.4045, 0.9501, 0.7662, 1.604, True, 0.2159, 0.06382, 11, 3, "base"),
    (10, 0.03976, 16, 1, 0.5792, 0.9592, 0.9385, 0.99, False, 1.896, 0.02152, 27, 39, "derived"),
    (12, 0.01344, 20, 2, 0.4251, 0.7112, 0.5141, 0.5134, False, 0.8679, 48.72, 16, 32, "base"),
    (13, 0.01267, 5, 12, 0.7335, 0.8541, 0.2413, 0.2981, True, 0.01103, 5.091, 67, 93, "base"),
    (16, 0.007897, 8, 24, 0.94, 0.8148, 0.4369, 0.2998, False, 0.005836, 0.02894, 28, 3, "base"),
    (17, 0.03513, 64, 1, 0.668, 0.9277, 0.01251, 0.7157, False, 0.07319, 0.1369, 20, 2, "derived"),
    (18, 0.05371, 32, 1, 0.4974, 0.9918, 0.7971, 1.218, True, 0.9842, 0.004969, 13, 4, "derived"),
    (19, 0.04127, 128, 9, 0.6189, 0.8836, 0.6514, 1.738, True, 0.6608, 0.04519, 9, 3, "derived"),
    (21, 0.009068, 2, 17, 0.5876, 0.8406, 0.07894, 0.7713, False, 0.9285, 0.08982, 16, 11, "base"),
    (23, 0.007406, 14, 1, 0.8588, 0.9994, 0.04136, 0.2259, False, 0.007688, 89.46, 11, 26, "base"),
    (24, 0.007948, 111, 3, 0.9551, 0.7199, 0.111, 0.5969, False, 0.937, 11.1, 8, 8, "base"),
    (26, 0.08159, 16, 12, 0.6882, 0.7106, 0.8733, 0.4467, False, 0.156, 0.003637, 78, 2, "derived"),
    (29, 0.00892, 55, 1, 0.6156, 0.8831, 0.175, 0.8761, True, 0.1403, 3.355, 84, 21, "base"),
    (31, 0.03087, 24, 1, 0.4905, 0.7801, 0.6421, 0.5813, False, 0.007144, 0.1338, 38, 83, "base"),
    (32, 0.01515, 32, 60, 0.8611, 0.8454, 0.9107, 1.275, True, 0.03216, 0.001147, 8, 4, "derived"),
    (36, 0.09465, 23, 13, 0.7825, 0.7036, 0.37, 0.03415, True, 0.01348, 56.49, 13, 4, "base"),
    (37, 0.005686, 32, 1, 0.917, 0.9279, 0.9386, 1.62, True, 0.008229, 0.06719, 11, 10, "derived"),
    (38, 0.04171, 128, 2, 0.8476, 0.8985, 0.5685, 1.074, False, 0.005361, 89.72, 8, 7, "derived"),
    (40, 0.07205, 32, 26, 0.465, 0.9319, 0.6587, 1.78, True, 0.06553, 0.06963, 72, 32, "derived"),
    (42, 0.01723, 20, 8, 0.5247, 0.812, 0.9738, 1.93, True, 0.0255, 1.534, 9, 51, "derived"),
    (43, 0.01865, 5, 5, 0.5029, 0.7041, 0.1032, 1.255, True, 0.1139, 41.89, 29, 74, "base"),
    (45, 0.05079, 106, 4, 0.9286, 0.9673, 0.04486, 1.732, True, 1.766, 0.009767, 11, 2, "base"),
    (46, 0.0371, 32, 22, 0.4813, 0.7854, 0.9745, 0.6059, False, 0.2935, 10.17, 85, 3, "derived"),
    (48, 0.04333, 19, 18, 0.6609, 0.9328, 0.5567, 1.272, False, 0.006764, 29.24, 42, 6, "base"),
)
# On ten data sets of 3,000 to 6,000 rows, in cross-validated loss behind the best of what was tried for each: 0.4 % with
# 16 leaves, 0.8 with 31, 1.6 with 50; the tuned defaults of pytabkit (50 leaves of 40 rows for classes, 100 of 3 for
# numbers) 1 to 50 %.
ANCHOR: dict[str, Scalar] = {
    "min_data_in_leaf": 10, "feature_fraction": 0.8, "bagging_fraction": 0.9, "lambda_l2": 1.0,
    "cat_smooth": 1.0, "cat_l2": 1.0, "min_data_per_group": 10,
}  # fmt: skip
FEW_ROWS = 2_000
FEW_LEAVES = 20
SLOW = 8  # entries that long runs fit once more, at the learned rate


def learning_rate(task: str, rows: int) -> float:
    """Return the rate at which some hundred rounds suffice: it grows with the rows, as the cost of a round does.

    The law is CatBoost's own choice for 2,000 rounds (as measured by chimeraboost), times 1.5.
    """
    factor, power = (0.0259, 0.157) if task == REGRESSION else (0.0158, 0.247)
    return float(min(max(1.5 * factor * (rows / 200) ** power, 0.02), 0.1))


def make_portfolio(task: str, rows: int) -> list[Candidate]:
    """Return an anchor, then the table; trees of few leaves come first where there are few rows."""
    rate = learning_rate(task, rows)
    found = [Candidate({"learning_rate": rate, **ANCHOR, "num_leaves": _leaves(rows)}, rank=1.0)]
    for place, *values, view in TABLE:
        params: dict[str, Scalar] = dict(zip(NAMES, values, strict=True))
        early = rows < FEW_ROWS and values[1] <= FEW_LEAVES
        # Small trees learn less a round: a greater rate keeps their number of rounds, and so their cost, in bounds.
        faster = min(max((32 / values[1]) ** 0.35, 0.8), 2.0)
        params_now = {**params, "learning_rate": rate * faster}
        found.append(Candidate(params_now, 10.0 + (place / 25 if early else place), view))
        if values[0] < rate and len(found) <= 2 * SLOW:
            found.append(Candidate(params, 100.0 + place, view))
    return sorted(found, key=lambda candidate: candidate.rank)


def _leaves(rows: int) -> int:
    return 16 if rows <= 10_000 else 31 if rows <= 50_000 else 63
