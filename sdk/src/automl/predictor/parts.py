"""The members of an ensemble, as they are shipped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from automl.predictor.derived import derive

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_core import Derived, Flat, Learner, Model

__all__ = ["Opaque", "Part"]


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A flat model over the encoded columns, and its share in the ensemble."""

    flat: Flat
    weight: float


@dataclass(frozen=True, slots=True, eq=False)
class Opaque:
    """A model without a flat form, and its share in the ensemble.

    Attributes:
        name: of the learner, as in settings. learner: stores the model where it is `automl_core.Portable`; None after
            loading a model that is not.
        keep: int32, the encoded columns that the model reads, in its order; the derived ones follow.
    """

    name: str
    learner: Learner | None
    model: Model
    keep: NDArray[np.int32]
    derived: tuple[Derived, ...]
    weight: float

    def predict(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """Predict encoded rows as `automl_core.Model.predict` does."""
        return self.model.predict(self.read(values))

    def read(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the model is given of encoded rows: the columns it keeps, and its derived ones."""
        kept = values[:, self.keep]
        if self.derived:
            derived = [derive(item, values)[:, None] for item in self.derived]
            kept = np.concatenate([kept, *derived], axis=1, dtype=np.float32)
        return np.ascontiguousarray(kept)
