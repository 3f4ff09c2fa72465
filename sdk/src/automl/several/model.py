"""Several fitted models of one table, one for each target, used as one."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.model import in_batches
from automl_core import REGRESSION, DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.model import Model
    from automl.study.leaderboard import Leaderboard

__all__ = ["MultiModel", "merge_leaderboards", "open_once", "page_names", "stack_columns"]


class MultiModel:
    """What a fit of several targets makes, and `load_model` reads; thread-safe, and picklable by the bytes of its file.

    No model reads another's target. What takes one model (serving, retraining, drift, ONNX) takes one of `models`.

    Attributes:
        models: the `automl.Model` of each target, in the order asked for.
        info: plain data about the file; empty until it was saved or loaded.
    """

    def __init__(self, models: Mapping[str, Model], *, info: Mapping[str, Any] | None = None) -> None:
        if not models:
            raise DataError("models of several targets need at least one target.")
        self.models = dict(models)
        self.info: dict[str, Any] = dict(info or {})

    def __repr__(self) -> str:
        told = ", ".join(f"{name!r}: {model.task}" for name, model in self.models.items())
        return f"<MultiModel of {told}>"

    def __reduce__(self) -> tuple[Any, ...]:
        from automl.several.file import dump_models

        return _restore, (dump_models(self),)

    @property
    def targets(self) -> tuple[str, ...]:
        """The predicted columns, in the order of the columns of `predict`."""
        return tuple(self.models)

    # ---- predict

    def predict(self, data: Any, *, threads: int = 1) -> NDArray[Any]:
        """Return a column for each target, shape (rows, targets), in the order of `targets`.

        Numbers where all targets are numbers (labels that are numbers included), else an object array, in which
        labels keep their types.

        Raises:
            DataError: a column is missing or holds what it cannot hold.
        """
        data = open_once(data)
        return stack_columns([model.predict(data, threads=threads) for model in self.models.values()])

    def predict_proba(self, data: Any, *, threads: int = 1) -> dict[str, NDArray[np.float64]]:
        """Return float64 probabilities, shape (rows, classes), by target; targets that are numbers have none.

        Raises:
            DataError: all targets are numbers; or as for `predict`.
        """
        chosen = self._of_task(classes=True, asked="probabilities")
        data = open_once(data)
        return {name: model.predict_proba(data, threads=threads) for name, model in chosen.items()}

    def predict_interval(self, data: Any, *, coverage: float = 0.9) -> dict[str, NDArray[np.float64]]:
        """Return lower and upper ends, float64 (rows, 2), by target; see `Model.predict_interval`.

        Each target's interval has the coverage by itself, not all of them together.

        Raises:
            DataError: no target is a number; or as for `Model.predict_interval`.
        """
        chosen = self._of_task(classes=False, asked="intervals")
        data = open_once(data)
        return {name: model.predict_interval(data, coverage=coverage) for name, model in chosen.items()}

    def _of_task(self, *, classes: bool, asked: str) -> dict[str, Model]:
        chosen = {name: model for name, model in self.models.items() if (model.task != REGRESSION) == classes}
        if not chosen:
            kind = "numbers" if classes else "classes"
            raise DataError(f"all of {', '.join(map(repr, self.targets))} are {kind}, which have no {asked}.")
        return chosen

    # ---- about the models

    def feature_importance(self) -> dict[str, dict[str, float]]:
        """Return each input column's share of the importance by target; see `Model`."""
        return {name: model.feature_importance() for name, model in self.models.items()}

    def leaderboard(self) -> Leaderboard:
        """Return what was tried for each target, best first, targets one after the other."""
        return merge_leaderboards(
            {name: (model.leaderboard().rows, model.metric) for name, model in self.models.items()}
        )

    def report(self, path: str | os.PathLike[str], *, data: Any = None, groups: Sequence[str] = ()) -> list[str]:
        """Write a page about each target, beside each other: `report.html` becomes `report-TARGET.html`.

        Args:
            data: rows with the known targets, as for `Model.report`.

        Returns:
            The paths, in the order of `targets`.
        """
        data, pages = open_once(data), page_names(path, self.targets)
        for name, page in pages.items():
            self.models[name].report(page, data=data, groups=groups)
        return list(pages.values())

    def _repr_html_(self) -> str:
        return "".join(model._repr_html_() for model in self.models.values())

    def save(self, path: str | os.PathLike[str], *, key: bytes | None = None) -> None:
        """Write all models to one file, atomically, or to a URI; `load_model` reads it.

        Args:
            key: signs the file with HMAC-SHA256.

        Raises:
            DataError: it cannot be written.
        """
        from automl.several.file import save_models

        save_models(self, path, key=key)


def open_once(data: Any) -> Any:
    """Read a file that fits into memory, so that it is not read for each target; return anything else as it is."""
    if not isinstance(data, str | os.PathLike) or in_batches(data) is not None:
        return data
    from automl.table import open_table

    return open_table(data)


def stack_columns(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Return columns of shape (rows,) as (rows, columns): numbers, truths, or objects where these are mixed."""
    kinds = {column.dtype.kind for column in columns}
    if kinds <= set("iuf") or kinds == {"b"}:
        return np.column_stack(columns)
    mixed = np.empty((len(columns[0]), len(columns)), dtype=object)
    for place, column in enumerate(columns):
        mixed[:, place] = column.tolist()  # Python's own types, as the labels came
    return mixed


def merge_leaderboards(boards: Mapping[str, tuple[Sequence[Mapping[str, Any]], str]]) -> Leaderboard:
    """Return one leaderboard, whose rows tell target and metric as well, of (rows, metric) by target."""
    from automl.study.leaderboard import Leaderboard

    rows = [{"target": name, "metric": metric, **row} for name, (found, metric) in boards.items() for row in found]
    metrics = {metric for _, metric in boards.values()}
    return Leaderboard(rows, metrics.pop() if len(metrics) == 1 else "score")


def page_names(path: str | os.PathLike[str], targets: Sequence[str]) -> dict[str, str]:
    """Return a path for each target: its name before the suffix, without characters that paths cannot hold."""
    whole = os.fspath(path)
    suffix = PurePosixPath(whole).suffix
    stem = whole.removesuffix(suffix) if suffix else whole
    words = [re.sub(r"[^\w.-]+", "_", target) for target in targets]
    unique = [word if words.count(word) == 1 else f"{word}-{place}" for place, word in enumerate(words)]
    return {target: f"{stem}-{word}{suffix}" for target, word in zip(targets, unique, strict=True)}


def _restore(data: bytes) -> MultiModel:
    from automl.several.file import parse_models

    # Whoever unpickles has already said yes to pickles.
    return parse_models(data, "the pickled models", allow_pickle=True)
