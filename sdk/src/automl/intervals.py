"""Intervals around predicted numbers, by what the ensemble was wrong on rows that it had not seen.

Split conformal prediction with residuals out of fold (Vovk et al. 2005; Barber et al. 2021 for folds), apart for rows of low
and of high predictions (Mondrian), so that intervals are as wide as errors are there.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from automl_core import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.report.evidence import Evidence

__all__ = ["interval"]

GROUP_ROWS, MAX_GROUPS = 200, 10


def interval(evidence: Evidence, prediction: NDArray[np.float64], coverage: float) -> NDArray[np.float64]:
    """Return where the numbers lie with a probability of `coverage`, float64 (rows, 2): the lower and the upper end.

    Half of what is left out lies on either side.

    Args:
        prediction: float64 (rows,).

    Raises:
        DataError: the coverage is not between 0 and 1, or needs more rows than the model learned from.
    """
    if not 0 < coverage < 1:
        raise DataError(f"coverage is {coverage!r}; it must be between 0 and 1, such as 0.9.")
    tail = (1 - coverage) / 2
    least, rows = math.ceil(1 / tail - 1e-9) - 1, len(evidence.target)
    if rows < least:
        raise DataError(
            f"an interval of coverage {coverage:g} needs {least} rows predicted out of fold, and the model has {rows}: "
            f"ask for at most {math.floor(1000 * (1 - 2 / (rows + 1))) / 1000:g}, or fit on more rows."
        )
    said = evidence.prediction.astype(np.float64)
    groups = max(1, min(MAX_GROUPS, rows // max(GROUP_ROWS, 2 * least)))
    edges = np.quantile(said, np.linspace(0, 1, groups + 1)[1:-1])
    home = np.searchsorted(edges, said, side="right")
    if np.bincount(home, minlength=groups).min() < least:  # many equal predictions, which one group has all
        edges, home, groups = edges[:0], np.zeros_like(home), 1
    errors = evidence.target - said
    ends = np.array([_ends(np.sort(errors[home == group]), tail) for group in range(groups)])
    return np.asarray(prediction[:, None] + ends[np.searchsorted(edges, prediction, side="right")])


def _ends(errors: NDArray[np.float64], tail: float) -> tuple[float, float]:
    """Return the errors with a share of at most `tail` beyond them, were there one row more."""
    place = math.floor(tail * (len(errors) + 1) + 1e-9) - 1
    return float(errors[place]), float(errors[len(errors) - 1 - place])
