"""From encoded columns to what a perceptron reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from automl_core import Column, Network
from automl_core.networks import robust_scale
from automl_sklearn.design import fit_design

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["describe_inputs"]


def describe_inputs(
    values: NDArray[np.float32],
    columns: Sequence[Column],
    *,
    cosines: int,
    sigma: float,
    levels: int,
    rng: np.random.Generator,
) -> Network:
    """Return a network without layers: the scales and tables of these training rows.

    Numbers are scaled robustly and clipped smoothly, with `cosines` random Fourier features of the frequency `sigma`
    beside each (Rahimi and Recht 2007); categories become indicators of the `levels` most frequent codes.
    """
    source = np.array([j for j, column in enumerate(columns) if not column.categorical], dtype=np.int32)
    scales = np.array([robust_scale(values[:, j]) for j in source]).reshape(len(source), 2)
    design = fit_design(values, columns, levels=levels, min_count=3, tails=0.0)
    tables, widths = [np.empty(0, dtype=np.float32)], []
    for first, end in zip(design.starts[:-1], design.starts[1:], strict=True):
        slots = design.slots[first:end]
        own = slots[slots >= 0]
        begin, width = (int(own.min()), int(np.ptp(own)) + 1) if len(own) else (0, 0)
        tables.append(np.equal.outer(slots - begin, np.arange(width)).astype(np.float32).ravel())
        widths.append(width)
    sizes = [len(table) for table in tables]
    return Network(
        columns=len(columns),
        source=source,
        center=scales[:, 0],
        factor=scales[:, 1],
        flags=source[np.isnan(values[:, source]).any(axis=0)],
        frequency=(sigma * rng.standard_normal((len(source), cosines))).astype(np.float32),
        phase=rng.uniform(0.0, 2 * np.pi, (len(source), cosines)).astype(np.float32),
        categories=design.categories.astype(np.int32),
        start=np.cumsum(sizes)[:-1].astype(np.int32),
        width=np.array(widths, dtype=np.int32),
        levels=(np.diff(design.starts) - 1).astype(np.int32),
        table=np.concatenate(tables),
        weights=(),
        biases=(),
        activation="relu",
        base=np.empty(0),
        link="identity",
    )
