"""A fitted model: encodes rows, predicts with them, explains itself, and goes into one file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from automl_core import BINARY, REGRESSION, DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.encoder import Encoder
    from automl.engine import AutoML
    from automl.predictor import Predictor
    from automl.report.evidence import Evidence
    from automl.schema import Schema
    from automl.study.leaderboard import Leaderboard

__all__ = ["Model", "in_batches"]

Label = str | int | float | bool


class Model:
    """What `fit` makes and `load_model` reads; thread-safe, and picklable by the bytes of its file.

    Data is one row as a dict of values, a list of such dicts, a dict of columns, a data frame, an Arrow table, a numpy
    array, or a path: whatever `Encoder.encode` takes. Results have one entry per row, so one for a dict of values.

    Attributes:
        task: "binary", "multiclass" or "regression". target: the column that is predicted.
        classes_: the labels in the order of `predict_proba`'s columns, of their original type; empty for regression.
        metric: what the model was chosen by. threshold: probability from which on a binary model predicts `classes_[1]`.
        schema: what the training table was; None where it was not described.
        info: plain data about the fit; after loading also the file's format, its time and the versions that wrote it.
        evidence: a sample of out-of-fold predictions, for `report`; None where there is none.
    """

    def __init__(
        self,
        encoder: Encoder,
        predictor: Predictor,
        *,
        task: str,
        schema: Schema | None = None,
        classes: Sequence[Label] = (),
        target: str = "target",
        metric: str = "",
        threshold: float = 0.5,
        leaderboard: Sequence[Mapping[str, Any]] = (),
        info: Mapping[str, Any] | None = None,
        importance: Mapping[str, float] | None = None,
        evidence: Evidence | None = None,
    ) -> None:
        if (0 if task == REGRESSION else len(classes)) != predictor.classes:
            raise DataError(f"a {task} model of {len(classes)} classes has a predictor of {predictor.classes}.")
        if not 0 <= threshold <= 1:
            raise DataError(f"the threshold is {threshold}; it must be a probability.")
        self.encoder, self.predictor = encoder, predictor
        self.task, self.target, self.metric, self.threshold = task, target, metric, threshold
        self.schema = schema
        self.classes_ = _to_array(classes)
        self.info: dict[str, Any] = dict(info or {})
        self.evidence = evidence
        self._leaderboard = [dict(row) for row in leaderboard]
        self._importance = None if importance is None else dict(importance)

    def __repr__(self) -> str:
        members = len(self.predictor.parts) + len(self.predictor.opaque)
        return f"<Model of {self.target!r}: {self.task}, {members} members, {self.predictor.trees} trees>"

    def __reduce__(self) -> tuple[Any, ...]:
        from automl.artifact.save import dump_model

        return _restore, (dump_model(self),)

    # ---- predict

    def predict(self, data: Any, *, threads: int = 1) -> NDArray[Any]:
        """Return labels, or float64 numbers for regression, shape (rows,).

        Args:
            threads: how many to share many rows among.

        Raises:
            DataError: a column is missing or holds what it cannot hold.
        """
        return self.decide(self._say(data, threads))

    def decide(self, said: NDArray[np.float64]) -> NDArray[Any]:
        """Return labels for probabilities of shape (rows, classes), or the numbers of regression as they are."""
        if self.task == REGRESSION:
            return said
        codes = (said[:, 1] >= self.threshold).astype(np.intp) if self.task == BINARY else said.argmax(axis=1)
        return np.asarray(self.classes_[codes])

    def predict_proba(self, data: Any, *, threads: int = 1) -> NDArray[np.float64]:
        """Return float64 probabilities, shape (rows, classes), in the order of `classes_`.

        Raises:
            DataError: the model predicts numbers; or as for `predict`.
        """
        if self.task == REGRESSION:
            raise DataError(f"the model predicts the number {self.target!r}, which has no probabilities: use predict.")
        return self._say(data, threads)

    def predict_interval(self, data: Any, *, coverage: float = 0.9) -> NDArray[np.float64]:
        """Return where each number lies with a probability of `coverage`, float64 (rows, 2): lower and upper ends.

        Conformal, from the errors on rows that members had not seen; see `automl.intervals`. It holds on average over rows
        that come from where the training rows came from.

        Raises:
            DataError: the model predicts classes, knows no such errors, or too few for the coverage.
        """
        from automl.intervals import interval

        if self.task != REGRESSION:
            raise DataError(
                f"the model predicts classes of {self.target!r}, which have no intervals: use predict_proba."
            )
        if self.evidence is None:
            raise DataError("the model knows no errors out of fold to tell intervals from: fit again, with more time.")
        return interval(self.evidence, self._say(data, 1), coverage)

    def _say(self, data: Any, threads: int) -> NDArray[np.float64]:
        if (batches := in_batches(data, clouds=True)) is not None:
            return np.concatenate([self._say(table, threads) for table in batches])
        return self.predictor.predict(self.encoder.encode(data), threads=threads)

    def predict_contributions(self, data: Any) -> NDArray[np.float64]:
        """Return what each input column adds to the prediction, and last what is predicted without any.

        See `automl.explain.explain` for the exact meaning. The sum over axis 1 is the prediction: the number, or the
        probability of each class.

        Returns:
            float64: (rows, inputs + 1) for regression, (rows, inputs + 1, classes) otherwise; inputs as in `names`.

        Raises:
            DataError: a member is neither flat nor a network, or has no record of the training rows behind its nodes.
        """
        from automl.explain import explain

        encoded = explain(self.predictor, self.encoder.encode(data))
        inputs = len(self.encoder.names)
        summed = np.zeros((len(encoded), inputs + 1, encoded.shape[2]))
        for place, column in enumerate([*self.encoder.source, inputs]):
            summed[:, column] += encoded[:, place]
        return summed[:, :, 0] if self.task == REGRESSION else summed

    @property
    def names(self) -> tuple[str, ...]:
        """The input columns, in the order of `predict_contributions`."""
        return tuple(self.encoder.names)

    # ---- a smaller one

    def distill(
        self,
        data: Any,
        y: Any = None,
        *,
        unlabelled: Any = None,
        holdout: Any = None,
        predict_time_limit: float = 20.0,
        quality: str = "fast",
        **arguments: Any,
    ) -> AutoML:
        """Fit a small, fast model that imitates this one, the teacher; for a row it takes microseconds.

        It learns the probabilities, or numbers, that the teacher says of the rows, of twice as many mixed ones (some columns of another row), and
        of unlabelled ones; of labelled rows a part of what was observed, too. What the teacher said of a row before it
        had learned it is taken where it is known: of a fitted `AutoML` for its own table, of a saved model for the sample
        in its file. The search compares students by log loss or RMSE to the teacher, and leaves no out-of-fold evidence:
        `holdout` tells how good the student is.

        Args:
            data: rows with the target, anything that `fit` takes and memory holds. y: the target of shape (rows,), where
                `data` does not hold it.
            unlabelled: more rows of the same columns.
            holdout: rows with the target that neither has seen; `info["distilled"]` then has the scores of both.
            predict_time_limit: microseconds that predicting one row may cost, by estimate.
            arguments: as of `AutoML`, but for `metric` and `task`; `monotone` is the teacher's where it is not given.

        Returns:
            a fitted engine, whose `model_` is an ordinary model without `evidence`. `model_.info["distilled"]` is a dict:
            metric, rows (that were held out), and of "teacher" and "student" members, trees, bytes, microseconds, and score.

        Raises:
            DataError: the data lacks the target or an input, or the model predicts a quantile.
            SettingsError: an argument is wrong.
        """
        from automl.distill import distill

        return distill(
            self, data, y, unlabelled=unlabelled, holdout=holdout, predict_time_limit=predict_time_limit, quality=quality,
            **arguments,
        )  # fmt: skip

    # ---- about the model

    def feature_importance(self) -> dict[str, float]:
        """Return how much the model relies on each input column, greatest first, as shares that sum to 1.

        See `automl.explain.importance`: what splits brought, and how much what columns add differs among rows.
        """
        if self._importance is None:
            from automl.explain import importance

            shares = np.zeros(len(self.encoder.names))
            np.add.at(shares, self.encoder.source, importance(self.predictor))
            order = np.argsort(-shares, kind="stable")
            self._importance = {self.encoder.names[i]: float(shares[i]) for i in order}
        return dict(self._importance)

    def leaderboard(self) -> Leaderboard:
        """Return what was tried in the fit, best first."""
        from automl.study.leaderboard import Leaderboard

        return Leaderboard(self._leaderboard, self.metric)

    def report(self, path: str | os.PathLike[str], *, data: Any = None, groups: Sequence[str] = ()) -> None:
        """Write a page about the model: one HTML file that needs nothing from outside, or prints to PDF.

        Args:
            data: rows with a known target, anything that `fit` takes. The training table is known again, and its rows are
                judged by the models that had not seen them; any other rows count as held out. Without data the page has
                neither dependence plots nor latency, and importance without its uncertainty.
            groups: columns of the data whose groups are compared; they need not be inputs of the model.

        Raises:
            DataError: the data cannot be read or has no target, or a group is no column of it.
            ComponentUnavailable: the extra `report` is not installed.
        """
        from automl.report.page import write_report

        write_report(self, path, data=data, groups=groups)

    def _repr_html_(self) -> str:
        from automl.report.card import card

        return card(self)

    # ---- files

    def save(self, path: str | os.PathLike[str], *, key: bytes | None = None) -> None:
        """Write the model to one file, atomically, or to a URI by fsspec; `load_model` reads it.

        Args:
            key: signs the file with HMAC-SHA256.

        Raises:
            DataError: it cannot be written.
        """
        from automl.artifact import save_model

        save_model(self, path, key=key)

    def export_onnx(self, path: str | os.PathLike[str]) -> None:
        """Write the ensemble, without the encoder, as an ONNX model; see `automl.export.export_onnx`."""
        from automl.export import export_onnx

        export_onnx(self, path)


def in_batches(data: Any, *, clouds: bool = False) -> Any:
    """Return what is too large for memory as tables, and None for anything else.

    Args:
        clouds: whether to look at URIs of clouds, too, with the settings of the environment.
    """
    if not isinstance(data, str | os.PathLike) and not type(data).__module__.startswith(("dask", "automl.large")):
        return None
    from automl.large.batches import open_batches
    from automl.places import is_in_cloud

    return None if is_in_cloud(data) and not clouds else open_batches(data)


def _to_array(labels: Sequence[Label]) -> NDArray[Any]:
    """Return labels as an array that keeps their types."""
    if len({type(label) for label in labels}) == 1:
        return np.array(labels)
    array = np.empty(len(labels), dtype=object)
    array[:] = labels
    return array


def _restore(data: bytes) -> Model:
    from automl.artifact.load import parse_model

    # Whoever unpickles has already said yes to pickles.
    return parse_model(data, "the pickled model", allow_pickle=True)
