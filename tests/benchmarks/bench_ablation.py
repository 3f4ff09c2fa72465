"""What each part of the study brings: held-out loss without it, as a ratio to the loss with all parts.

Configurations are fitted by number, without a clock, so that the ratios do not depend on the machine. Run it with
`pytest -m benchmark -s tests/benchmarks/bench_ablation.py`; DATASETS=FOLDER takes the Parquet files that
FOLDER/manifest.json lists (name, file, target, task) instead of scikit-learn's small data sets, ONLY="NAME NAME" some of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from automl import AutoML
from automl.metrics import resolve_metric
from automl.predictor import Opaque, Part, Predictor
from automl.schema import TEXT, describe
from automl.study import ensemble, loop, run
from automl.study.calibration import apply_temperature
from automl.study.finish import flatten
from automl.study.members import is_hopeless
from automl_core import TrialState
from automl_core.settings import load_settings

pytestmark = pytest.mark.benchmark

TRIALS, ROWS = int(os.environ.get("TRIALS", "20")), int(os.environ.get("ROWS", "4000"))
AGAIN = "AGAIN" in os.environ  # fits everything once more, for what cannot be told from one study
SEEDS = range(int(os.environ.get("SEEDS", "1")))


@dataclass
class Studied:
    """A finished study with what its members say of rows that it never saw."""

    engine: AutoML
    loop: Any
    target: np.ndarray
    said: dict[int, list[np.ndarray]]  # by trial, one for each fold's model

    def members(self, keep: Callable[[Any], bool] = lambda member: True) -> list[Any]:
        done = [m for m in self.loop.members if m.trial.state == TrialState.COMPLETE]
        return [m for m in done if keep(m)] or done

    def loss(self, members: list[Any], weights: np.ndarray, *, folds: int | None = None) -> float:
        mixed = sum(w * np.mean(self.said[m.trial.id][:folds], axis=0) for m, w in zip(members, weights, strict=True))
        return self.metric.loss(self.target, mixed)

    @property
    def rows(self) -> int:
        return len(self.loop.frame.data.target)

    @property
    def metric(self) -> Any:
        return resolve_metric(self.engine.metric, self.engine.study_.task)

    def chosen(self, members: list[Any]) -> np.ndarray:
        stacks = [self.loop.collect(member) for member in members]
        truth = self.loop.frame.data.target[stacks[0][0]]
        kinds = [member.trial.learner for member in members]
        return ensemble.choose_weights([said for _, said in stacks], truth, self.metric, kinds=kinds).weights

    def by(self, method: str, members: list[Any]) -> np.ndarray:
        rows = self.loop.collect(members[0])[0]
        stack = np.stack([self.loop.collect(m)[1] for m in members]).astype(np.float64)
        truth = self.loop.frame.data.target[rows]
        losses = np.array([self.metric.loss(truth, said) for said in stack])
        problem = ensemble._Problem(stack, truth, None, self.metric, losses)
        return ensemble._greedy(problem) if method == "choice" else ensemble.weigh(problem)[method]


def tables() -> Iterator[tuple[str, pa.Table, str, str]]:
    folder = os.environ.get("DATASETS")
    if folder is None:
        from sklearn import datasets

        for name, task in {"breast_cancer": "binary", "wine": "multiclass", "diabetes": "regression"}.items():
            x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
            columns = {f"x{i}": x[:, i] for i in range(x.shape[1])}
            yield name, pa.table({**columns, "target": y}), "target", task
        return
    only = os.environ.get("ONLY", "").split()
    for item in json.loads((Path(folder) / "manifest.json").read_text())["datasets"]:
        if only and item["name"] not in only:
            continue
        table = pq.read_table(Path(folder) / item["file"])
        yield item["name"], table, item["target"], item["task"]


def study(table: pa.Table, target: str, task: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> Studied:
    order = np.random.default_rng(seed).permutation(table.num_rows)[: ROWS * 4 // 3]
    cut = len(order) * 3 // 4
    train, test = table.take(order[:cut]), table.take(order[cut:])
    seen: list[Any] = []
    finish = run.finish
    with monkeypatch.context() as patch:
        patch.setattr(
            run, "finish", lambda found, *args, **options: (seen.append(found), finish(found, *args, **options))[1]
        )
        patch.setattr(run, "REFIT_LIMITS", dict.fromkeys(run.REFIT_LIMITS))  # so that each member keeps its models
        settings = load_settings(executor="threads", trackers=(), storage="memory")
        engine = AutoML(
            time_limit=None, max_trials=TRIALS, seed=seed, task=task, n_jobs=2, settings=settings,
            metric="rmse" if task == "regression" else "log_loss",
        ).fit(train, target=target)  # fmt: skip
    values = engine.model_.encoder.encode(test.drop_columns([target]))
    found, classes = seen[0], 0 if task == "regression" else len(engine.classes_)
    said = {
        m.trial.id: [_say(found, m, fit, values, classes) for fit in m.fits.values()] for m in found.members if m.fits
    }
    truth = test[target].to_numpy(zero_copy_only=False)
    truth = truth.astype(float) if not classes else np.searchsorted(engine.classes_, truth).astype(float)
    return Studied(engine, found, truth, said)


def _say(found: Any, member: Any, fit: Any, values: np.ndarray, classes: int) -> np.ndarray:
    flat = flatten(fit, values.shape[1])
    name = member.trial.learner
    if flat is not None:
        return Predictor([Part(flat, 1.0)], classes=classes).predict(values)
    alone = Opaque(name, found.learners[name], fit.model, fit.keep, fit.derived, 1.0)
    return Predictor([], [alone], classes=classes, columns=values.shape[1]).predict(values)


def shipped(done: Studied) -> float:
    members = done.members()
    return done.loss(members, done.chosen(members))


def compare(done: Studied) -> dict[str, float]:
    every = done.members()
    full = done.chosen(every)
    best = done.by("single", every)
    ship = done.engine.outcome_.shipment
    losses = {
        "all parts": done.loss(every, full),
        "best trial instead of ensemble": done.loss(every, best),
        "mean of all instead of choice": done.loss(every, np.full(len(every), 1 / len(every))),
        "greedy without guards and shrinkage": done.loss(every, done.by("choice", every)),
        "greedy shrunk, without rivals": done.loss(every, done.by("greedy", every)),
        "simplex alone": done.loss(every, done.by("simplex", every)),
        "one fold's models": done.loss(every, full, folds=1),
        "three folds' models": done.loss(every, full, folds=3),
    }
    subsets: dict[str, Callable[[Any], bool]] = {
        "no derived features": lambda m: m.view != "derived",
        "no encoded view": lambda m: m.view != "encoded",
        "no search": lambda m: m.trial.origin != "search",
        "no LightGBM": lambda m: m.trial.learner != "lightgbm",
        "no XGBoost": lambda m: m.trial.learner != "xgboost",
        "no CatBoost": lambda m: m.trial.learner != "catboost",
        "no perceptron": lambda m: m.trial.learner != "sklearn.perceptron",
        "no scikit-learn": lambda m: not m.trial.learner.startswith("sklearn"),
    }
    for name, keep in subsets.items():
        members = done.members(keep)
        losses[name] = done.loss(members, done.chosen(members))
    raced, fits = race(done, every)
    losses["racing on one fold (with a clock only)"] = done.loss(raced, done.chosen(raced))
    mixed = sum(w * np.mean(done.said[m.trial.id], axis=0) for m, w in zip(every, full, strict=True))
    if done.engine.study_.task != "regression":
        losses["with one temperature"] = done.metric.loss(done.target, apply_temperature(mixed, ship.temperature))
    return {"share of fits, raced": fits} | {name: loss / losses["all parts"] for name, loss in losses.items()}


def race(done: Studied, every: list[Any]) -> tuple[list[Any], float]:
    """Return the members that a race on the first fold would have left, and the share of fits that it would have taken."""
    left: list[Any] = []
    for member in every:
        if not is_hopeless(member, [*left, member], done.loop.frame):
            left.append(member)
    lost = sum(len(member.fits) - 1 for member in every if member not in left)
    return left, 1 - lost / sum(len(member.fits) for member in every)


def test_what_each_part_brings(monkeypatch: pytest.MonkeyPatch) -> None:
    ratios: dict[str, list[float]] = {}
    for name, table, target, task in tables():
        for seed in SEEDS:
            done = study(table, target, task, seed, monkeypatch)
            found = compare(done)
            if AGAIN:
                with monkeypatch.context() as patch:
                    patch.setattr(loop, "common_rounds", lambda fits, rows: None)
                    own = study(table, target, task, seed, monkeypatch)
                found["each fold's own rounds"] = shipped(own) / shipped(done)
            if texts := [c.name for c in describe(table.slice(0, ROWS)).inputs if c.kind == TEXT and c.name != target]:
                silent = study(table.drop_columns(texts), target, task, seed, monkeypatch)
                found["no columns of text"] = shipped(silent) / shipped(done)
            print(name, seed, {key: round(value, 4) for key, value in found.items()}, flush=True)
            for key, value in found.items():
                ratios.setdefault(key, []).append(value)
    print(f"\n{'without, or instead':<40}{'ratio':>8}{'worst':>8}{'worse on':>10}")
    for key, values in sorted(ratios.items(), key=lambda item: -float(np.mean(item[1]))):
        worse = f"{sum(v > 1.0005 for v in values)}/{len(values)}"
        print(f"{key:<40}{np.exp(np.mean(np.log(values))):>8.4f}{max(values):>8.3f}{worse:>10}")
    assert ratios
