"""The learner `torch`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from automl_core import (
    REGRESSION,
    TASKS,
    Candidate,
    Choice,
    Column,
    DataError,
    Float,
    Int,
    Job,
    Learner,
    Model,
    Scalar,
    Space,
)
from automl_torch.inputs import fit_inputs
from automl_torch.model import NetworkModel, dump, load

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from automl_torch.inputs import Inputs
    from automl_torch.training import Plan, Sample

    Loss = Callable[[Tensor, Tensor], Tensor]

__all__ = ["Perceptron"]

BATCH = 256
EPOCHS, FEWEST_EPOCHS = 256, 10
VISITS = 2_000_000  # of rows, which bounds the epochs of larger tables
MAX_ROWS = 500_000
MAX_PERIODIC = 200  # numbers, above which cosines cost more than they bring
DEFAULTS: Mapping[str, Scalar] = {
    "width": 256,
    "dropout": 0.15,
    "weight_decay": 0.02,
    "sigma": 0.1,
    "label_smoothing": 0.05,
}


class Perceptron(Learner):
    """A multilayer perceptron of three layers; the fitted model needs numpy only.

    With a seed and one thread it gives the same model each time, unless the clock cuts its schedule short.
    """

    tasks = TASKS
    objectives = frozenset({"absolute_error", "quantile"})

    def space(self, task: str) -> Space:
        smoothing: dict[str, Choice] = {} if task == REGRESSION else {"label_smoothing": Choice((0.0, 0.05, 0.1))}
        return Space(
            {
                "learning_rate": Float(0.01, 0.3, log=True),
                "width": Choice((128, 256, 384)),
                "dropout": Choice((0.0, 0.15, 0.3)),
                "weight_decay": Float(1e-3, 0.1, log=True),
                "sigma": Float(0.02, 5.0, log=True),
                "epochs": Int(FEWEST_EPOCHS, 512, log=True),
                **smoothing,
            }
        )

    def portfolio(self, task: str, rows: int, columns: Sequence[Column]) -> Sequence[Candidate]:
        if any(column.monotone for column in columns):
            return ()
        other: dict[str, Scalar] = {"sigma": 0.5, "dropout": 0.3, "weight_decay": 0.05}
        return (Candidate({}, rank=12), Candidate(other, rank=70))

    def memory(self, task: str, rows: int, columns: int, classes: int) -> int:
        return 16 * min(rows, MAX_ROWS) * columns + 8 * BATCH * (columns * 100 + 3000) + 300_000_000

    def fit(self, job: Job) -> NetworkModel:
        started = monotonic()
        space = self.space(job.task)
        space.check(job.params)
        asked = next((column.name for column in job.data.columns if column.monotone), None)
        if asked is not None:
            raise DataError(f"torch cannot keep predictions monotone in {asked!r}; leave it out of the learners.")
        rows = job.train
        if len(rows) > MAX_ROWS:
            rows = np.sort(np.random.default_rng(job.seed).choice(rows, MAX_ROWS, replace=False))
        return _fit(job, {**DEFAULTS, **job.params}, rows, started)

    def dump(self, model: Model) -> bytes:
        if not isinstance(model, NetworkModel):
            raise TypeError(f"torch cannot store a {type(model).__name__}")
        return dump(model)

    def load(self, data: bytes) -> NetworkModel:
        return load(data)


def _fit(job: Job, params: Mapping[str, Scalar], rows: NDArray[np.int64], started: float) -> NetworkModel:
    import torch

    from automl_torch import perceptron
    from automl_torch.training import limit_threads, train

    regression = job.task == REGRESSION
    values, target = job.data.values[rows], job.data.target[rows]
    inputs = fit_inputs(values, job.data.columns)
    mean, deviation = _scale(job, rows) if regression else (0.0, 1.0)
    generator = torch.Generator().manual_seed(job.seed)
    shape = perceptron.Shape(
        hidden=[int(params["width"] or 0)] * 3,
        outputs=1 if regression else job.classes,
        activation="mish" if regression else "selu",
        sigma=float(params["sigma"] or 0.0) if len(inputs.source) <= MAX_PERIODIC else 0.0,
    )
    loss, judge = _losses(job, float(params["label_smoothing"] or 0.0))
    with limit_threads(job.threads):
        network = perceptron.Perceptron(inputs, shape, generator)
        sample = _sample(inputs, job, rows, mean, deviation)
        watch = None if job.valid is None else _sample(inputs, job, job.valid, mean, deviation)
        plan = _plan(job, params, len(rows), started)
        train(network, sample, loss, plan, generator, watch=watch, judge=judge)
    if regression:
        bound = float(np.abs(target - mean).max() / deviation)
        return NetworkModel(
            network.fold(len(job.data.columns), link="identity", base=mean, scale=deviation, bound=bound)
        )
    return NetworkModel(network.fold(len(job.data.columns), link="sigmoid" if job.classes == 2 else "softmax"))


def _scale(job: Job, rows: NDArray[np.int64]) -> tuple[float, float]:
    weight = None if job.data.weight is None else job.data.weight[rows]
    target = job.data.target[rows]
    mean = float(np.average(target, weights=weight))
    deviation = float(np.sqrt(np.average((target - mean) ** 2, weights=weight)))
    return mean, deviation or 1.0


def _plan(job: Job, params: Mapping[str, Scalar], rows: int, started: float) -> Plan:
    from automl_torch.training import Plan

    usual = min(EPOCHS, max(FEWEST_EPOCHS, VISITS // rows))
    # RealMLP-TD-S has 0.07 and 0.04, tuned for errors and classification errors; for log loss half of it is better.
    rate = 0.05 if job.task == REGRESSION else 0.02
    return Plan(
        epochs=int(params.get("epochs") or usual),
        batch=min(BATCH, rows),
        learning_rate=float(params.get("learning_rate") or rate),
        weight_decay=float(params["weight_decay"] or 0.0),
        dropout=float(params["dropout"] or 0.0),
        seconds=None if job.seconds is None else max(0.0, job.seconds - (monotonic() - started)),
    )


def _sample(inputs: Inputs, job: Job, rows: NDArray[np.int64], mean: float, deviation: float) -> Sample:
    import torch

    from automl_torch.perceptron import Batch
    from automl_torch.training import Sample

    encoded = inputs.apply(job.data.values[rows])
    batch = Batch(*map(torch.from_numpy, (encoded.numbers, encoded.flags, encoded.codes)))
    target = job.data.target[rows]
    if job.task == REGRESSION:
        aim = torch.from_numpy(((target - mean) / deviation).astype(np.float32))
    else:
        aim = torch.from_numpy(target.astype(np.int64))
    if job.data.weight is None:
        return Sample(batch, aim, None)
    weight = job.data.weight[rows]
    return Sample(batch, aim, torch.from_numpy((weight / max(float(weight.mean()), 1e-300)).astype(np.float32)))


def _losses(job: Job, smoothing: float) -> tuple[Loss, Loss]:
    """Return what to train on and what to judge epochs by, each from (raw, target) to one number per row."""
    from torch.nn import functional

    if job.task != REGRESSION:
        return (
            lambda raw, target: functional.cross_entropy(raw, target, reduction="none", label_smoothing=smoothing),
            lambda raw, target: functional.cross_entropy(raw, target, reduction="none"),
        )
    word, _, level = job.objective.partition(":")
    if word == "absolute_error":
        return _both(lambda raw, target: (raw[:, 0] - target).abs())
    if word == "quantile":
        share = float(level or 0.5)
        return _both(lambda raw, target: (target - raw[:, 0]) * (share - (target < raw[:, 0]).float()))
    return _both(lambda raw, target: (raw[:, 0] - target) ** 2)


def _both(loss: Loss) -> tuple[Loss, Loss]:
    return loss, loss
