"""What a worker needs to fit one part of a study, and what it gives back."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, fields, replace
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from automl.predictor import Part, Predictor
from automl.study.views import BASE, PSEUDO, Recipe, View, make_view
from automl_core import REGRESSION, Data, Exports, Forest, Job, Learner, Params, Shared, Staged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from automl.study.folds import Split
    from automl_core import Model

__all__ = ["WHOLE", "Fitted", "Frame", "Here", "Labelled", "Order", "common_rounds", "cut_to", "fit_part", "settle"]

T = TypeVar("T")
WHOLE = -1  # the part that learns from all rows
MAX_VIEWS = 12
PROBED, LONG = 64, 3.0  # rows that are predicted to see what all will take; seconds from which on that is long
SETTLE_ROWS = 20_000  # from so many validation rows on, one number of rounds for all parts changes nothing


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Rows whose labels a model gave, for one part.

    Attributes:
        data: the study's table, and below it these rows; all parts share its values.
        rows: int64, sorted, the numbers in `data` of those rows that are learned from.
    """

    data: Data
    rows: NDArray[np.int64]


@dataclass(slots=True, eq=False)
class Frame:
    """An encoded table, its splits and its task: put where workers are once, and never written to.

    Attributes:
        pseudo: by part, rows that were labelled by models which had not seen the part's validation rows.
    """

    data: Data
    splits: list[Split]
    task: str
    classes: int
    seed: int
    objective: str = ""
    pseudo: dict[int, Labelled] = field(default_factory=dict)
    _views: dict[tuple[str, int], View] = field(default_factory=dict, repr=False)
    _lock: Any = field(default_factory=Lock, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {item.name: getattr(self, item.name) for item in fields(self) if not item.name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self._views, self._lock = {}, Lock()

    def train(self, part: int, view: str = BASE) -> NDArray[np.int64]:
        """Return the numbers, in a view's table, of the rows that a part learns from."""
        known = np.arange(len(self.data.target)) if part == WHOLE else self.splits[part].train
        return np.concatenate([known, self.pseudo[part].rows]) if view.endswith(PSEUDO) else known

    def view(self, name: str, recipe: Recipe, part: int) -> View:
        """Return the view of a part, made once and kept for the part's other fits."""
        labelled = self.pseudo[part] if name.endswith(PSEUDO) else None
        data = self.data if labelled is None else labelled.data
        # Without target statistics and labels of a model all parts look alike.
        home = part if recipe.encodings or labelled is not None else WHOLE
        with self._lock:
            if (name, home) not in self._views:
                if len(self._views) >= MAX_VIEWS:
                    self._views.pop(next(iter(self._views)))
                key = data.key if name == BASE else f"{data.key}/{name}/{home}"
                train = self.train(home, name)
                self._views[name, home] = make_view(data, recipe, train, classes=self.classes, seed=self.seed, key=key)
            return self._views[name, home]


class Here(Shared[T]):
    """A reference within this process, where the executor shares no values."""

    def __init__(self, value: T) -> None:
        self.value = value

    def get(self) -> T:
        return self.value


@dataclass(frozen=True, slots=True)
class Order:
    """One fit: which learner, how, on which part, with what."""

    trial: int
    part: int
    learner: Learner
    params: Params
    view: str
    recipe: Recipe
    seed: int
    threads: int = 1
    seconds: float | None = None
    rounds: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """One fitted part.

    Attributes:
        prediction: float32, what `model` says of the part's validation rows; None for the whole.
        seconds: wall clock of the fit. predict_seconds: of the prediction.
        base: whether `model` reads the encoded columns, whatever the view of its trial.
    """

    part: int
    model: Model
    keep: NDArray[np.int32]
    derived: tuple[Any, ...]
    prediction: NDArray[np.float32] | None
    seconds: float
    predict_seconds: float = 0.0
    base: bool = False

    @property
    def curve(self) -> Sequence[float] | None:
        return self.model.curve if isinstance(self.model, Staged) and self.model.curve else None

    def cut(self, rounds: int | None = None) -> Model:
        """Return the model as it was after `rounds` rounds, or after all; as it is where nothing tells what they are."""
        if not isinstance(self.model, Staged) or not self.model.curve:
            return self.model
        fitted = len(self.model.curve)
        return self.model.cut(fitted if rounds is None else min(rounds, fitted))


def fit_part(shared: Shared[Frame], order: Order) -> Fitted:
    """Fit one part of a trial and predict its validation rows; runs in a worker.

    Raises:
        ValueError: the predictions are not finite, or of a wrong shape.
    """
    frame = shared.get()
    started = time.perf_counter()
    view = frame.view(order.view, order.recipe, order.part)
    valid = None if order.part == WHOLE else frame.splits[order.part].valid
    job = Job(
        data=view.data,
        train=frame.train(order.part, order.view),
        valid=valid,
        task=frame.task,
        classes=frame.classes,
        params=order.params,
        rounds=order.rounds,
        seconds=order.seconds,
        seed=order.seed,
        threads=order.threads,
        objective=frame.objective,
    )
    model = order.learner.fit(job)
    fitted = time.perf_counter()
    prediction = None if valid is None else _predict(model, view.data.values[valid], frame, order)
    done = time.perf_counter()
    return Fitted(order.part, model, view.keep, view.derived, prediction, fitted - started, done - fitted)


def _predict(model: Model, values: NDArray[np.float32], frame: Frame, order: Order) -> NDArray[np.float32]:
    flat = None
    if order.seconds is not None and isinstance(model, Exports) and _takes_long(model, values):
        flat = model.export()
    if isinstance(flat, Forest):
        said = Predictor([Part(flat, 1.0)], classes=frame.classes).predict(values, threads=order.threads)
    else:
        said = model.predict(values)
    prediction = np.asarray(said, dtype=np.float32)
    wanted = (len(values),) if frame.task == REGRESSION else (len(values), frame.classes)
    if prediction.shape != wanted:
        raise ValueError(f"predictions have the shape {prediction.shape}, not {wanted}")
    if not np.isfinite(prediction).all():
        raise ValueError("predictions are not all finite")
    return prediction


def _takes_long(model: Model, values: NDArray[np.float32]) -> bool:
    """Tell from a few rows whether a model's own prediction takes longer than its arrays do to make and to evaluate.

    The thousands of trees of a booster of many classes do: 21 s for 3,700 rows, by their arrays 1.3 s. The last digits
    may differ, so that without a clock nobody asks.
    """
    began = time.perf_counter()
    model.predict(values[:PROBED])
    return (time.perf_counter() - began) * len(values) > LONG * PROBED


def cut_to(fits: Sequence[Fitted]) -> int | None:
    """Return the one number of rounds that is best on the mean of all parts' curves; None where there are none.

    Taking each part's own best would make each look better than it is, the more so the fewer rows judge.
    """
    curves = [fit.curve for fit in fits]
    if any(curve is None or not len(curve) for curve in curves):
        return None
    length = max(len(curve) for curve in curves if curve is not None)
    # A part that stopped earlier stays at its last loss.
    padded = [np.r_[c, np.full(length - len(c), c[-1])] for c in curves if c is not None]
    return int(np.mean(padded, axis=0).argmin()) + 1


def common_rounds(fits: Sequence[Fitted], rows: int) -> int | None:
    """Return the rounds that all parts are to be cut to; None where they may stay as they are."""
    rounds = cut_to(fits) if len(fits) > 1 and rows < SETTLE_ROWS else None
    return None if all(fit.model.rounds == rounds for fit in fits) else rounds


def settle(shared: Shared[Frame], fits: Sequence[Fitted], order: Order, rounds: int) -> list[Fitted]:
    """Cut all parts to the same rounds and predict again; runs in a worker."""
    frame = shared.get()
    settled = []
    for fit in fits:
        model = fit.cut(rounds)
        if model.rounds == fit.model.rounds:
            settled.append(fit)
            continue
        data = frame.data if fit.base else frame.view(order.view, order.recipe, fit.part).data
        prediction = _predict(model, data.values[frame.splits[fit.part].valid], frame, order)
        settled.append(replace(fit, model=model, prediction=prediction))
    return settled
