"""An ensemble as one program, and its members without a flat form beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from automl.predictor.check import check_derived, check_flat
from automl.predictor.kernel import load_program
from automl.predictor.plain import temper
from automl.predictor.program import compile_parts
from automl_core import DataError, Forest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.predictor.parts import Opaque, Part

__all__ = ["Predictor"]

FLOAT32 = np.dtype(np.float32)  # comparing with the type itself makes one each time
ROWS_PER_THREAD = 1024  # below, a thread costs more than it brings


class Predictor:
    """A weighted mean of models, evaluated over encoded rows; thread-safe.

    Each part's link is applied before the mean is taken: the sum of weight * link(raw). Probabilities are then tempered:
    p ** (1 / temperature), renormalised.

    Args:
        parts: flat models, at least one of these or of `opaque`. opaque: models that are called.
            All weights are positive and sum to 1.
        classes: the number of classes, 0 for regression.
        columns: encoded columns; None where there is a part that says it.

    Raises:
        DataError: a part's arrays contradict their description, or parts do not fit together.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        opaque: Sequence[Opaque] = (),
        *,
        classes: int = 0,
        temperature: float = 1.0,
        columns: int | None = None,
    ) -> None:
        self.parts, self.opaque = tuple(parts), tuple(opaque)
        self.classes, self.temperature = classes, float(temperature)
        if not self.parts and not self.opaque:
            raise DataError("the ensemble has no members: fit again, with more time.")
        if columns is None:
            if not self.parts:
                raise DataError("an ensemble without flat members must be told how many columns it reads.")
            columns = self.parts[0].flat.columns
        self.columns = columns
        self._check()
        self._outputs = max(classes, 1)
        # Numbers have no temperature, and that of probabilities comes after the other members.
        inside = self.temperature if classes and not self.opaque else 1.0
        program = compile_parts(self.parts, columns=columns, outputs=self._outputs, temperature=inside)
        self._run = load_program(program).predict

    def _check(self) -> None:
        weights = [*(part.weight for part in self.parts), *(member.weight for member in self.opaque)]
        if not all(math.isfinite(w) and w > 0 for w in weights) or abs(sum(weights) - 1) > 1e-6:
            raise DataError(f"the weights of the ensemble's members must be positive and sum to 1, not {sum(weights)}.")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise DataError(f"the temperature must be a positive number, not {self.temperature}.")
        for part in self.parts:
            check_flat(part.flat, self.columns)
            classes = {"identity": 0, "exp": 0, "sigmoid": 2}.get(part.flat.link, len(part.flat.base))
            if classes != self.classes:
                raise DataError(f"a member with the link {part.flat.link!r} cannot predict {self.classes} classes.")

        for member in self.opaque:
            if not ((member.keep >= 0) & (member.keep < self.columns)).all():
                raise DataError(f"the member {member.name!r} reads a column that is not there.")
            for item in member.derived:
                check_derived(item, self.columns)

    def predict(self, values: NDArray[np.float32], *, threads: int = 1) -> NDArray[np.float64]:
        """Predict encoded rows.

        Args:
            values: float32 (rows, columns), NaN is missing, categories as codes.
            threads: how many to share many rows among.

        Returns:
            float64: numbers (rows,) for regression, else probabilities (rows, classes).
        """
        if values.ndim != 2 or values.shape[1] != self.columns or values.dtype != FLOAT32:
            raise DataError(
                f"encoded rows must be float32 of shape (rows, {self.columns}), not {values.dtype} {values.shape}."
            )
        if not values.flags.c_contiguous:
            values = np.ascontiguousarray(values)
        out = np.empty((len(values), self._outputs) if self.classes else len(values))
        if threads > 1 and len(values) >= 2 * ROWS_PER_THREAD:
            self._share(values, out, threads)
        else:
            self._run(values, out)
        return self._add_opaque(values, out) if self.opaque else out

    def _share(self, values: NDArray[np.float32], out: NDArray[np.float64], threads: int) -> None:
        from concurrent.futures import ThreadPoolExecutor

        step = max(ROWS_PER_THREAD, math.ceil(len(values) / threads))
        starts = range(0, len(values), step)
        with ThreadPoolExecutor(len(starts)) as pool:
            list(pool.map(self._run, [values[s : s + step] for s in starts], [out[s : s + step] for s in starts]))

    def _add_opaque(self, values: NDArray[np.float32], out: NDArray[np.float64]) -> NDArray[np.float64]:
        for member in self.opaque:
            said = np.asarray(member.predict(values), dtype=np.float64)
            if said.shape != out.shape:
                raise DataError(f"the member {member.name!r} predicts the shape {said.shape} instead of {out.shape}.")
            out += member.weight * said
        return out if self.temperature == 1.0 or not self.classes else temper(out, self.temperature)

    @property
    def trees(self) -> int:
        """The number of trees in all parts."""
        return sum(len(part.flat.roots) for part in self.parts if isinstance(part.flat, Forest))
