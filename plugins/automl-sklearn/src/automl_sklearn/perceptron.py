"""The learner `perceptron`: scikit-learn's multilayer perceptron, whose smooth boundaries trees are least like."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from automl_core import REGRESSION, TASKS, Candidate, Choice, Column, Float, Int, Job, Learner, Network, Scalar, Space
from automl_core.networks import evaluate, forward, read_inputs
from automl_sklearn.network import describe_inputs
from automl_sklearn.rows import Clock, Rows, blas_threads, choose, refuse_monotone, take

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Perceptron", "PerceptronModel"]

DEFAULTS: Mapping[str, Scalar] = {
    "layers": 2,
    "units": 128,
    "learning_rate": 0.002,
    "alpha": 0.03,
    "batch": 128,
    "cosines": 4,
    "sigma": 1.0,
    "levels": 30,
}
SMALL = 20_000  # rows above which it must show on one fold that it is worth its time
MAX_ROWS = 100_000
EPOCHS, FEWEST_EPOCHS = 200, 8
TRIED: Sequence[Mapping[str, Scalar]] = (
    {},
    {"layers": 3, "cosines": 0},
    {"units": 256, "learning_rate": 0.001, "epochs": EPOCHS},
    {"layers": 1, "units": 256, "cosines": 8},
)  # unlike each other, so that their mean is better than each
VISITS = 1_000_000  # of rows, which bounds the epochs of larger tables: 3 s or so
FEW, MANY = 50, 1000  # rows that say nothing of how long to train; valid rows that say enough
THIRDS = 3
PATIENCE = 16  # epochs without an improvement on the watched rows
KEPT = 0.8  # of the averaged weights in each epoch
STRIDE = 8192  # rows between two looks at the clock
TINY = 1e-12  # probabilities below count as this in the watched loss


@dataclass(frozen=True, slots=True, eq=False)
class PerceptronModel:
    """A fitted model; has no rounds."""

    network: Network
    rounds: int | None = None

    def predict(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        return evaluate(self.network, values)

    def export(self) -> Network:
        return self.network


class Perceptron(Learner):
    """Adam on mini-batches, weights averaged over epochs, ended where the loss of other rows is least.

    One thread: products of a mini-batch are too small to share. The average over epochs (Polyak, Juditsky 1992) does
    what a falling learning rate would, which scikit-learn's Adam does not have.
    """

    tasks = TASKS

    def space(self, task: str) -> Space:
        return Space(
            {
                "layers": Int(1, 3),
                "units": Choice((64, 128, 256)),
                "learning_rate": Float(3e-4, 0.01, log=True),
                "alpha": Float(1e-4, 3.0, log=True),
                "batch": Choice((64, 128, 256)),
                "epochs": Int(FEWEST_EPOCHS, EPOCHS, log=True),
                "cosines": Int(0, 8),
                "sigma": Float(0.1, 5.0, log=True),
                "levels": Int(5, 100, log=True),
            }
        )

    def portfolio(self, task: str, rows: int, columns: Sequence[Column]) -> Sequence[Candidate]:
        if any(column.monotone for column in columns):
            return ()
        # Boosters take a tree for each class: of several classes a perceptron costs least for what it brings. Of few rows it
        # takes four fits in one, and must show on one fold that it is worth them.
        many = rows >= 5 * MANY
        if rows > SMALL:
            ranks = (12.0, 35.0, 36.0, 37.0)
        elif task == "multiclass":
            ranks = (1.5, 3.5, 6.0, 12.0) if many else (4.0, 12.0, 35.0, 36.0)
        else:
            ranks = (4.0 if many else 10.0, 35.0, 36.0, 37.0)
        return [Candidate(params, rank) for params, rank in zip(TRIED, ranks, strict=True)]

    def memory(self, task: str, rows: int, columns: int, classes: int) -> int:
        return min(rows, MAX_ROWS) * (100 * columns + 16 * max(1, classes))

    def fit(self, job: Job) -> PerceptronModel:
        clock = Clock(job.seconds)
        params = choose(self.space(job.task), job.params, DEFAULTS)
        refuse_monotone(job.data.columns, "sklearn.perceptron")
        rows, rng = take(job, limit=MAX_ROWS), np.random.default_rng(job.seed)
        shell = _shell(job, rows, params, rng)
        with blas_threads(1):
            return PerceptronModel(_train(job, rows, shell, params, clock, rng))


def _shell(job: Job, rows: Rows, params: Mapping[str, Scalar], rng: np.random.Generator) -> Network:
    shell = describe_inputs(
        rows.values,
        job.data.columns,
        cosines=int(params["cosines"] or 0),
        sigma=float(params["sigma"] or 0.0),
        levels=int(params["levels"] or 0),
        rng=rng,
    )
    if job.task != REGRESSION:
        link, outputs = ("sigmoid", 1) if job.classes == 2 else ("softmax", job.classes)
        return replace(shell, link=link, base=np.zeros(outputs))
    mean = float(np.average(rows.target, weights=rows.weight))
    deviation = float(np.sqrt(np.average((rows.target - mean) ** 2, weights=rows.weight))) or 1.0
    bound = float(np.abs(rows.target - mean).max() / deviation)
    return replace(shell, link="identity", base=np.array([mean]), scale=deviation, low=-bound, high=bound)


def _train(
    job: Job, rows: Rows, shell: Network, params: Mapping[str, Scalar], clock: Clock, rng: np.random.Generator
) -> Network:
    """Stop on the valid rows where these are many; else first find by thirds of the rows how long to train on all.

    The best epoch on few rows would make their own predictions look better than they are.
    """
    usual = min(EPOCHS, max(FEWEST_EPOCHS, VISITS // len(rows.target)))
    epochs = int(params.get("epochs") or usual)
    fit = partial(_run, job, shell=shell, params=params)
    if job.valid is not None and len(job.valid) >= MANY:
        watched = Rows(job.data.values, job.data.target, job.data.weight).subset(job.valid)
        return fit(rows, watched, epochs=epochs, clock=clock, rng=rng).best
    if len(rows.target) < FEW:
        return fit(rows, rows, epochs=FEWEST_EPOCHS, clock=clock, rng=rng).last
    label = rng.permutation(len(rows.target)) % THIRDS
    curves = []
    for part in range(THIRDS):
        own = Clock(clock.left / (2 * THIRDS - part) if np.isfinite(clock.left) else None)
        kept, out = rows.subset(np.flatnonzero(label != part)), rows.subset(np.flatnonzero(label == part))
        curves.append(fit(kept, out, epochs=epochs, clock=own, rng=rng).curve)
    length = max(len(curve) for curve in curves)
    mean = np.mean([[*curve, *[curve[-1]] * (length - len(curve))] for curve in curves], axis=0)
    return fit(rows, rows, epochs=int(mean.argmin()) + 1, clock=clock, rng=rng, stops=False).last


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """The networks of the best and of the last epoch, and the watched loss after each."""

    best: Network
    last: Network
    curve: list[float]


def _run(
    job: Job, rows: Rows, watched: Rows, *, shell: Network, params: Mapping[str, Scalar], epochs: int, clock: Clock,
    rng: np.random.Generator, stops: bool = True,
) -> _Run:  # fmt: skip
    regression = job.task == REGRESSION
    inputs, seen = (read_inputs(shell, some.values).astype(np.float32) for some in (rows, watched))
    target: NDArray[Any] = (rows.target - shell.base[0]) / shell.scale if regression else rows.labels
    estimator = _estimator(job, params, len(target))
    classes: dict[str, Any] = {} if regression else {"classes": np.arange(job.classes)}
    average: list[NDArray[np.float64]] = []
    curve: list[float] = []
    network = best = shell
    for epoch in range(epochs):
        for part in np.array_split(rng.permutation(len(target)), math.ceil(len(target) / STRIDE)):
            weight = None if rows.weight is None else rows.weight[part]
            estimator.partial_fit(inputs[part], target[part], sample_weight=weight, **classes)
            if estimator.n_iter_ == 0:  # scikit-learn makes a warning of Ctrl-C
                raise KeyboardInterrupt
            if clock.left <= 0:
                break
        average = _add(average, [*estimator.coefs_, *estimator.intercepts_], epoch)
        network = _with_layers(shell, average)
        if stops or epoch == epochs - 1:
            curve.append(_loss(forward(network, seen), watched))
        if curve and int(np.argmin(curve)) == len(curve) - 1:
            best = network
        if clock.left <= 0 or (stops and len(curve) - 1 - int(np.argmin(curve)) >= PATIENCE):
            break
    return _Run(best, network, curve)


def _estimator(job: Job, params: Mapping[str, Scalar], rows: int) -> Any:
    shared: dict[str, Any] = {
        "hidden_layer_sizes": (int(params["units"] or 0),) * int(params["layers"] or 0),
        "learning_rate_init": params["learning_rate"],
        "alpha": params["alpha"],
        "batch_size": min(int(params["batch"] or 0), rows // math.ceil(rows / STRIDE)),
        "shuffle": False,  # rows come in an order drawn for each epoch
        "random_state": job.seed,
    }
    return MLPRegressor(**shared) if job.task == REGRESSION else MLPClassifier(**shared)


def _add(
    average: list[NDArray[np.float64]], now: Sequence[NDArray[np.float32]], epoch: int
) -> list[NDArray[np.float64]]:
    """Return the exponential average, which starts as the plain mean of the first epochs."""
    kept = min(KEPT, epoch / (epoch + 1))
    if not average:
        return [weights.astype(np.float64) for weights in now]
    return [kept * old + (1 - kept) * new for old, new in zip(average, now, strict=True)]


def _with_layers(shell: Network, average: Sequence[NDArray[np.float64]]) -> Network:
    narrow = tuple(weights.astype(np.float32) for weights in average)
    return replace(shell, weights=narrow[: len(narrow) // 2], biases=narrow[len(narrow) // 2 :])


def _loss(said: NDArray[np.float64], rows: Rows) -> float:
    if said.ndim == 1:
        losses = (said - rows.target) ** 2
    else:
        losses = -np.log(np.maximum(said[np.arange(len(said)), rows.labels], TINY))
    weight = np.ones(len(said)) if rows.weight is None else rows.weight
    return float(losses @ weight / max(float(weight.sum()), TINY))
