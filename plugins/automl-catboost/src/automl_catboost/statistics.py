"""Target statistics and counts of a CatBoost model as looked-up columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from automl_catboost.tuples import Sources, Tuples, read_sources
from automl_core import Lookup

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_core import Column

__all__ = ["Statistics"]

_EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)  # a slot of CatBoost's hash map that nothing is in


class Statistics:
    """The statistics of one model in JSON form; those of one combination share its keys."""

    def __init__(self, model: Mapping[str, Any], columns: Sequence[Column], tuples: Tuples) -> None:
        self._info = model["features_info"]
        self._tables = model.get("ctr_data", {})
        self._columns, self._tuples = columns, tuples
        self._sources: dict[str, Sources] = {}
        self._read: dict[str, tuple[NDArray[np.uint64], NDArray[np.float64]]] = {}

    def __len__(self) -> int:
        return len(self._info.get("ctrs", ()))

    def look_up(self, number: int, borders: NDArray[np.float32]) -> Lookup:
        """Return statistic `number` for trees that compare it with `borders` alone.

        Combinations on the same side of all borders as one that was never seen need no key.

        Raises:
            ValueError: the statistic is of an unknown kind, or its combinations cannot be told apart.
        """
        statistic = self._info["ctrs"][number]
        table = self._tables[statistic["identifier"]]
        hashes, counts = self._table(statistic["identifier"])
        values, default = _calculate(statistic, table, counts)
        name = _name(statistic["elements"])
        keys = self._tuples.keys(name, self._source(name, statistic["elements"]), hashes)
        borders = np.sort(borders)
        needed = np.searchsorted(borders, values) != np.searchsorted(borders, default)
        order = np.argsort(keys[needed])
        source = self._source(name, statistic["elements"])
        return Lookup(
            source=source.source,
            threshold=source.threshold,
            equal=source.equal,
            keys=keys[needed][order],
            values=values[needed][order],
            default=default,
        )

    def settle(self) -> None:
        """Have the tuples know all combinations of the model."""
        for statistic in self._info.get("ctrs", ()):
            name = _name(statistic["elements"])
            hashes, _ = self._table(statistic["identifier"])
            self._tuples.keys(name, self._source(name, statistic["elements"]), hashes)

    def _source(self, name: str, elements: Sequence[Mapping[str, Any]]) -> Sources:
        if name not in self._sources:
            self._sources[name] = read_sources(self._info, elements, self._columns)
        return self._sources[name]

    def _table(self, identifier: str) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
        """Return the hashes (n,) of a table and what it counts for each, (n, stride - 1)."""
        if identifier not in self._read:
            table = self._tables[identifier]
            stride = table["hash_stride"]
            hashes = np.array(list(map(int, table["hash_map"][::stride])), dtype=np.uint64)
            counts = np.array([table["hash_map"][place::stride] for place in range(1, stride)], dtype=np.float64)
            used = hashes != _EMPTY
            self._read[identifier] = hashes[used], counts[:, used].T
        return self._read[identifier]


def _name(elements: Sequence[Mapping[str, Any]]) -> str:
    return ";".join(f"{key}={value}" for element in elements for key, value in sorted(element.items()))


def _calculate(
    statistic: Mapping[str, Any], table: Mapping[str, Any], counts: NDArray[np.float64]
) -> tuple[NDArray[np.float32], float]:
    """Return the statistic of each row of counts, and of a combination never seen, in CatBoost's float32 steps.

    The kinds are those of CatBoost's `TModelCtr` and `ctr_provider`, as its exported Python code has them.
    """
    kind, border, total_unseen = statistic["ctr_type"], statistic["target_border_idx"], 0.0
    if kind == "Borders":
        good, total = counts[:, border + 1 :].sum(axis=1), counts.sum(axis=1)
    elif kind == "Buckets":
        good, total = counts[:, border], counts.sum(axis=1)
    elif kind in ("Counter", "FeatureFreq"):
        total_unseen = float(table["counter_denominator"])
        good, total = counts[:, 0], np.full(len(counts), total_unseen)
    else:
        raise ValueError(f"a statistic of the model is an unknown {kind!r}")
    numerator, denominator = (np.float32(statistic[f"prior_{part}"]) for part in ("numerator", "denomerator"))
    shift, scale = np.float32(statistic["shift"]), np.float32(statistic["scale"])
    good = np.append(good, 0.0).astype(np.float32)
    total = np.append(total, total_unseen).astype(np.float32)
    values = np.asarray(((good + numerator) / (total + denominator) + shift) * scale, dtype=np.float32)
    return values[:-1], float(values[-1])
