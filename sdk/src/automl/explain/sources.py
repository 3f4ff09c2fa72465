"""From derived columns back to the encoded ones that they are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from automl_core import Derived, Lookup

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["source_shares", "spread_derived"]


def source_shares(derived: tuple[Derived, ...], columns: int) -> NDArray[np.float64]:
    """Return (derived, columns): what share of each derived column each encoded one has: the same for all its sources."""
    shares = np.zeros((len(derived), columns))
    for i, item in enumerate(derived):
        sources = item.source if isinstance(item, Lookup) else np.array([item.left, item.right])
        if len(sources):
            np.add.at(shares[i], sources, 1.0 / len(sources))
    return shares


def spread_derived(derived: tuple[Derived, ...], wide: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return numbers per encoded column of numbers per encoded and derived column."""
    columns = len(wide) - len(derived)
    return np.asarray(wide[:columns] + wide[columns:] @ source_shares(derived, columns))
