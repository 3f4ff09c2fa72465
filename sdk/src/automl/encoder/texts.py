"""Texts: how long and of what characters they are, and what they are about."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from automl.encoder.part import Arrays, Part, State, take_array
from automl.encoder.tfidf import BUCKETS, Projection, fit_projection, split_words
from automl.scalars import as_text, is_missing
from automl.schema import TEXT
from automl_core import Column

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["TextPart"]

SHAPES = ("characters", "words", "digits", "capitals")


class TextPart(Part):
    """Counts and shares of characters, then the dimensions of a `Projection`.

    An empty text has zeros, a missing one NaN. A number stands for its text.
    """

    kind = TEXT

    def __init__(self, name: str, shapes: Sequence[str], projection: Projection | None) -> None:
        self.name, self.shapes, self.projection = name, tuple(shapes), projection
        self._places = [SHAPES.index(shape) for shape in self.shapes]
        width = 0 if projection is None else projection.components.shape[1]
        names = [*self.shapes, *(f"topic{i}" for i in range(width))]
        if not names:
            raise ValueError("a text without any column")
        self.columns = tuple(Column(f"{name}.{part}") for part in names)

    @classmethod
    def fit(cls, name: str, column: pa.ChunkedArray, *, seed: int = 0) -> Self:
        texts = column.drop_null().to_pylist()
        words = [split_words(text.lower()) for text in texts]
        varies = np.ptp(_shapes(texts, words), axis=0) > 0
        shapes = [shape for shape, vary in zip(SHAPES, varies, strict=True) if vary]
        return cls(name, shapes or SHAPES[:1], fit_projection(words, seed=seed))

    def block(self, values: Sequence[Any]) -> NDArray[np.float32]:
        result = np.full((len(values), len(self.columns)), np.nan, dtype=np.float32)
        rows = [row for row, value in enumerate(values) if not is_missing(value)]
        if not rows:
            return result
        if len(values) == 1:
            self._fill_one(result[0], as_text(values[0]))
            return result
        texts = [as_text(values[row]) for row in rows]
        words = [split_words(text.lower()) for text in texts]
        found = _shapes(texts, words)[:, self._places]
        if self.projection is not None:
            found = np.concatenate([found, self.projection.project(words)], axis=1)
        result[rows] = found
        return result

    def _fill_one(self, row: NDArray[np.float32], text: str) -> None:
        """Do as for many texts, to the same bits, without the arrays that tell them apart: a third of the time."""
        words = split_words(text.lower())
        found = _shape(text, len(words))
        row[: len(self._places)] = [found[place] for place in self._places]
        if self.projection is not None:
            row[len(self._places) :] = self.projection.project_one(words)

    def expand(self, value: Any) -> list[float]:
        """Encode one value."""
        encoded: list[float] = self.block([value])[0].tolist()
        return encoded

    def state(self) -> tuple[State, Arrays]:
        state = {"shapes": list(self.shapes), "projected": self.projection is not None}
        if self.projection is None:
            return state, {}
        p = self.projection
        return state, {"buckets": p.buckets, "idf": p.idf, "components": p.components}

    @classmethod
    def from_state(cls, state: State, arrays: Arrays) -> Self:
        projection = None
        if state["projected"]:
            buckets = take_array(arrays, "buckets", "int32", (None,))
            if not len(buckets) or buckets[0] < 0 or buckets[-1] >= BUCKETS or (np.diff(buckets) <= 0).any():
                raise ValueError("the buckets do not increase")
            idf = take_array(arrays, "idf", "float32", (len(buckets),))
            projection = Projection(buckets, idf, take_array(arrays, "components", "float32", (len(buckets), None)))
        return cls(state["name"], state["shapes"], projection)


def _shapes(texts: Sequence[str], words: Sequence[Sequence[str]]) -> NDArray[np.float32]:
    """Return `SHAPES` of each text: two counts, and two shares of the characters."""
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    ends = np.cumsum(lengths)
    result = np.empty((len(texts), len(SHAPES)), dtype=np.float32)
    result[:, 0] = lengths
    result[:, 1] = [len(found) for found in words]
    for place, table in enumerate(_character_tables(), start=2):
        hits = np.concatenate([[0], np.cumsum(table[np.minimum(points, len(table) - 1)])])
        result[:, place] = (hits[ends] - hits[ends - lengths]) / np.maximum(lengths, 1)
    return result


def _shape(text: str, words: int) -> tuple[float, ...]:
    """Return `SHAPES` of one text."""
    length = len(text)
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    hits = [np.count_nonzero(table.take(points, mode="clip")) for table in _character_tables()]
    return length, words, *(hit / max(length, 1) for hit in hits)


@cache
def _character_tables() -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which characters are digits, and which capitals; nearly all lie in the first 65,536, the last is neither."""
    characters = [chr(point) for point in range(1 << 16)]
    digits = np.array([character.isdigit() for character in characters])
    return digits, np.array([character.isupper() for character in characters])
