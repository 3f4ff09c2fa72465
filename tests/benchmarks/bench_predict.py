"""How fast an ensemble predicts and explains, against its members' own libraries and ONNX Runtime, on one thread.

Run it with `pytest -m benchmark -s tests/benchmarks/bench_predict.py`. Models as `AutoML` ships them are fitted for
BENCH_SECONDS (60) each, of the demo's table and three of scikit-learn's; with AUTOGLUON_PYTHON, an interpreter that has
AutoGluon, they are compared with its own models of the same files (`-k shipped`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from automl.model import Model
from automl.predictor import Part, Predictor
from automl_core import Column, Data, Job, PluginError, Plugins
from automl_core.settings import load_settings

pytestmark = pytest.mark.benchmark

ROWS, MANY, NUMBERS, CATEGORIES, ROUNDS = 8_000, 100_000, 16, 4, 300
DEEP_TREES = 60  # of each extra-trees forest: about 180,000 nodes, as in a study
ENSEMBLES = {
    "lightgbm": ("lightgbm",),
    "xgboost": ("xgboost",),
    "catboost": ("catboost",),
    "forest": ("sklearn.random_forest",),
    "three boosters": ("lightgbm", "xgboost", "catboost"),
    "boosters and forests": ("lightgbm", "xgboost", "catboost", "sklearn.hist_gradient_boosting", "sklearn.extra_trees")
    * 5,
    "25 boosters": ("lightgbm", "lightgbm", "xgboost", "catboost", "sklearn.hist_gradient_boosting") * 5,
}


def make_rows(rows: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(rows, NUMBERS + CATEGORIES))
    values[:, NUMBERS:] = rng.integers(0, 30, (rows, CATEGORIES))
    values[rng.random(values.shape) < 0.02] = np.nan
    return np.ascontiguousarray(values, dtype=np.float32)


class Encoded:
    """Stands for an encoder where rows come encoded."""

    columns = (*(Column(f"n{i}") for i in range(NUMBERS)), *(Column(f"c{i}", 30) for i in range(CATEGORIES)))
    names = tuple(column.name for column in columns)

    def encode(self, data: np.ndarray) -> np.ndarray:
        return data


@pytest.fixture(scope="module")
def train() -> Callable[[str, int], object]:
    values, plugins, models = make_rows(ROWS), Plugins(load_settings()), {}
    known = np.nan_to_num(values)
    effect = np.random.default_rng(1).normal(size=30)
    score = known[:, 0] * known[:, 1] + np.sin(2 * known[:, 2]) + known[:, 3] + effect[known[:, NUMBERS].astype(int)]
    data = Data(values, Encoded.columns, (score > 0).astype(np.float64))

    def fit(name: str, seed: int) -> object:
        if (name, seed) not in models:
            try:
                learner = plugins.build("learner", name)
            except PluginError as error:
                pytest.skip(str(error))
            # Folds are 80 % of the rows.
            rows = np.random.default_rng(seed).permutation(ROWS)[: 4 * ROWS // 5]
            rounds = DEEP_TREES if name == "sklearn.extra_trees" else ROUNDS
            models[name, seed] = learner.fit(Job(data, rows, None, "binary", 2, {}, rounds=rounds, seed=seed))
        return models[name, seed]

    return fit


def best(call: Callable[[], object], *, repeat: int = 3) -> float:
    """Return the fastest call's seconds: other work on the machine only ever adds."""
    taken = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return min(taken)


def typical(call: Callable[[np.ndarray], object], rows: Sequence[np.ndarray]) -> float:
    """Return the median seconds of calls with one row each, all different: repeated ones are remembered by the processor."""
    for row in rows[:20]:
        call(row)
    taken = []
    for row in rows:
        start = time.perf_counter()
        call(row)
        taken.append(time.perf_counter() - start)
    return median(taken)


@pytest.mark.parametrize("name", ENSEMBLES)
def test_ensemble_against_its_members_and_onnx(train, name, tmp_path) -> None:
    members = [train(learner, seed // 5) for seed, learner in enumerate(ENSEMBLES[name])]
    parts = [Part(member.export(), 1 / len(members)) for member in members]
    start = time.perf_counter()
    predictor = Predictor(parts, classes=2)
    ready = time.perf_counter() - start
    values = make_rows(MANY)
    alone = [values[i : i + 1] for i in range(300)]

    def own(rows: np.ndarray) -> np.ndarray:
        return sum(member.predict(rows) for member in members) / len(members)

    few = values[:2000]
    worst = float(np.abs(own(few) - predictor.predict(few)).max())
    ours, theirs = typical(predictor.predict, alone), typical(own, alone)
    size = MANY if len(members) < 5 else MANY // 10
    ours_many, theirs_many = best(lambda: predictor.predict(values[:size])), best(lambda: own(values[:size]), repeat=1)
    print(
        f"\n{name}: {predictor.trees} trees, ready in {1e3 * ready:.0f} ms, at most {worst:.1e} off\n"
        f"  one row: {1e6 * ours:.1f} us, the members {1e6 * theirs:.1f} us: {theirs / ours:.1f} times as fast\n"
        f"  {size:,} rows: {size / ours_many:,.0f} rows/s, the members {size / theirs_many:,.0f}:"
        f" {theirs_many / ours_many:.1f} times as fast"
    )
    if len(members) <= 3:
        print(
            against_onnx(
                Model(Encoded(), predictor, task="binary", classes=("a", "b")), alone, values, ours, ours_many, tmp_path
            )
        )


def against_onnx(
    model: Model, alone: Sequence[np.ndarray], values: np.ndarray, ours: float, ours_many: float, folder
) -> str:
    runtime = pytest.importorskip("onnxruntime")
    from automl_core import DataError

    try:
        model.export_onnx(folder / "m.onnx")
    except DataError as error:
        return f"  ONNX Runtime: {error}"
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = runtime.InferenceSession(folder / "m.onnx", options, providers=["CPUExecutionProvider"])

    def run(rows: np.ndarray) -> np.ndarray:
        return session.run(["probabilities"], {"features": rows})[0]

    off = float(np.abs(run(values[:500]) - model.predict_proba(values[:500])).max())
    one, many = typical(run, alone), best(lambda: run(values), repeat=1)
    return (
        f"  ONNX Runtime ({off:.1e} off): one row {1e6 * one:.1f} us, {one / ours:.1f} times ours;"
        f" {len(values) / many:,.0f} rows/s, ours {many / ours_many:.1f} times as fast"
    )


def test_one_row_as_a_dict_through_the_whole_model(train) -> None:
    pa = pytest.importorskip("pyarrow")
    from automl.encoder import Encoder
    from automl.schema import describe

    values = make_rows(2000)
    names = Encoded.names
    columns = {n: pa.array(values[:, i], from_pandas=True) for i, n in enumerate(names) if i < NUMBERS}
    columns |= {
        n: pa.array([None if np.isnan(v) else f"level{v:.0f}" for v in values[:, i]])
        for i, n in enumerate(names)
        if i >= NUMBERS
    }
    table = pa.table(columns)
    members = [train(learner, 0) for learner in ENSEMBLES["three boosters"]]
    predictor = Predictor([Part(member.export(), 1 / 3) for member in members], classes=2)
    model = Model(Encoder.fit(table, describe(table)), predictor, task="binary", classes=("a", "b"))
    rows = table.to_pylist()[:500]
    whole = typical(model.predict_proba, rows)
    encoded = [model.encoder.encode(row) for row in rows]
    part = typical(predictor.predict, encoded)
    own = typical(lambda row: [member.predict(row) for member in members], encoded)
    print(
        f"\na dict of {len(names)} columns: {1e6 * whole:.1f} us, of which {1e6 * part:.1f} us is the predictor;"
        f" the members alone {1e6 * own:.1f} us: {own / whole:.1f} times as much"
    )


def test_kernel_against_numpy(train) -> None:
    """What is left of the speed where there was no compiler."""
    from automl.predictor.kernel import COMPILED, load_program
    from automl.predictor.program import compile_parts

    if not COMPILED:
        pytest.skip("there is no compiled kernel")
    parts = [Part(train(learner, 0).export(), 1 / 3) for learner in ENSEMBLES["three boosters"]]
    program = compile_parts(parts, columns=NUMBERS + CATEGORIES, outputs=2)
    values = make_rows(MANY)
    few = values[: MANY // 50]
    answers = {}
    for compiled, rows in ((True, values), (False, few)):
        runnable, out, one = load_program(program, compiled=compiled), np.empty((len(rows), 2)), np.empty((1, 2))
        alone = typical(lambda row, r=runnable, o=one: r.predict(row, o), [values[i : i + 1] for i in range(40)])
        many = len(rows) / best(lambda r=runnable, v=rows, o=out: r.predict(v, o))
        answers[compiled] = out[: len(few)]
        print(f"\n{'kernel' if compiled else 'numpy'}: one row {1e6 * alone:.1f} us; {many:,.0f} rows/s", end="")
    print(f"; at most {np.abs(answers[True] - answers[False]).max():.1e} apart")


def test_contributions(train) -> None:
    """TreeSHAP of all members together, against LightGBM's and XGBoost's own of the same trees."""
    from automl.explain import explain

    lgb, xgb = pytest.importorskip("lightgbm"), pytest.importorskip("xgboost")
    from automl_lightgbm.binned import Target
    from automl_lightgbm.flatten import flatten

    values = make_rows(ROWS)
    target = (np.nan_to_num(values[:, 0] * values[:, 1]) > 0).astype(float)
    settings = {"objective": "binary", "num_leaves": 31, "verbosity": -1, "num_threads": 1, "seed": 0}
    booster = lgb.train(settings, lgb.Dataset(values, target), num_boost_round=ROUNDS)
    peer = xgb.train(
        {"objective": "binary:logistic", "max_depth": 6, "nthread": 1},
        xgb.DMatrix(values, target),
        num_boost_round=ROUNDS,
    )
    ours = Predictor([Part(flatten(booster.model_to_string(), ROUNDS, 2, Target()), 1.0)], classes=2)
    three = Predictor([Part(train(name, 0).export(), 1 / 3) for name in ENSEMBLES["three boosters"]], classes=2)
    calls = {
        "ours, the same trees": lambda rows: explain(ours, rows),
        "LightGBM": lambda rows: booster.predict(rows, pred_contrib=True, num_threads=1),
        "XGBoost, as many trees": lambda rows: peer.predict(xgb.DMatrix(rows, nthread=1), pred_contribs=True),
        "ours, three boosters": lambda rows: explain(three, rows),
    }
    print()
    for name, call in calls.items():
        one = typical(call, [values[i : i + 1] for i in range(100)])
        many = best(lambda c=call: c(values[:500]), repeat=2)
        print(f"contributions, {name}: one row {1e3 * one:.2f} ms; {500 / many:,.0f} rows/s")


AUTOGLUON = """
import json, pathlib, sys, time
import pandas as pd
from autogluon.tabular import TabularPredictor
frame = pd.read_csv("train.csv")
predictor = TabularPredictor("target", path="ag", verbosity=0).fit(frame, presets="best_quality", time_limit=float(sys.argv[1]), num_cpus=2)
size = sum(path.stat().st_size for path in pathlib.Path("ag").rglob("*") if path.is_file())
predictor.persist()
predict = predictor.predict_proba if predictor.can_predict_proba else predictor.predict
rows = [frame.drop(columns="target").iloc[i : i + 1] for i in range(40)]
taken = []
for row in rows:
    start = time.perf_counter()
    predict(row)
    taken.append(time.perf_counter() - start)
print(json.dumps({"bytes": size, "seconds": sorted(taken[5:])[len(taken[5:]) // 2]}))
"""
SECONDS = os.environ.get("BENCH_SECONDS", "60")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Callable[[str], Path]:
    """Give the folder of a table by its name, where it is `train.csv` with the column "target"."""
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            frame, made[name] = read_frame(name), tmp_path_factory.mktemp(name)
            frame.to_csv(made[name] / "train.csv", index=False)
        return made[name]

    return make


def read_frame(name: str):
    """Return the demo's table, or one that scikit-learn ships."""
    if name == "bank_marketing":
        import automl.demo

        table = pytest.importorskip("pandas").read_csv(Path(automl.demo.__file__).parent / "bank_marketing.csv")
        return table.rename(columns={table.columns[-1]: "target"})
    datasets = pytest.importorskip("sklearn.datasets")
    return getattr(datasets, f"load_{name}")(as_frame=True).frame


@pytest.fixture(scope="module")
def autogluon(folder) -> Callable[[str], dict[str, float] | None]:
    """Give the seconds of a row and the bytes of the folder of AutoGluon's model of a table; None where it is not there."""
    told: dict[str, dict[str, float]] = {}

    def ask(name: str) -> dict[str, float] | None:
        python = os.environ.get("AUTOGLUON_PYTHON")
        if python is not None and name not in told:
            command = [python, "-c", AUTOGLUON, SECONDS]
            done = subprocess.run(command, cwd=folder(name), stdout=subprocess.PIPE, text=True, check=True)
            told[name] = json.loads(done.stdout.splitlines()[-1])
        return told.get(name)

    return ask


@pytest.mark.parametrize(
    ("name", "quality"),
    [
        ("bank_marketing", "best"), ("bank_marketing", "balanced"), ("bank_marketing", "fast"),
        ("breast_cancer", "best"), ("digits", "best"), ("diabetes", "best"),
    ],
)  # fmt: skip
def test_model_as_it_is_shipped(name, quality, folder, autogluon, tmp_path) -> None:
    """A dict in, a prediction out; the size of the file; and the way to a first prediction."""
    from automl import AutoML, load_model
    from automl.table import open_table

    table, path = open_table(str(folder(name) / "train.csv")), tmp_path / "m.automl"
    engine = AutoML(time_limit=float(SECONDS), quality=quality, seed=0, n_jobs=2).fit(table, target="target")
    engine.save(path)
    model = load_model(path)
    rows, call = (
        table.drop_columns("target").slice(0, 500).to_pylist(),
        "predict_proba" if model.classes_.size else "predict",
    )
    one = typical(getattr(model, call), rows)
    predictor, size = model.predictor, path.stat().st_size
    code = f"import automl; automl.load_model({str(path)!r}).{call}({rows[0]!r})"
    first = best(lambda: subprocess.run([sys.executable, "-c", code], check=True), repeat=5)
    bare = best(lambda: subprocess.run([sys.executable, "-c", "import numpy"], check=True), repeat=5)
    print(
        f"\n{name}, {quality}: {len(predictor.parts) + len(predictor.opaque)} models, {predictor.trees:,} trees; a dict of"
        f" {len(rows[0])} columns: {1e6 * one:.0f} us; {size / 1e6:.2f} MB; load and predict {1e3 * (first - bare):.0f} ms"
        f" beyond `import numpy` ({1e3 * bare:.0f} ms)"
    )
    if (peer := autogluon(name)) is not None:
        print(
            f"  AutoGluon, persisted: {1e3 * peer['seconds']:.1f} ms, {peer['seconds'] / one:,.0f} times as long;"
            f" {peer['bytes'] / 1e6:.1f} MB, {peer['bytes'] / size:,.1f} times as much"
        )


def count_nodes(predictor: Predictor) -> int:
    return sum(part.flat.feature.size for part in predictor.parts)


def test_time_to_the_first_prediction(train, tmp_path) -> None:
    from automl.encoder import Encoder
    from automl.schema import describe

    pa = pytest.importorskip("pyarrow")
    values = make_rows(500)
    table = pa.table({n: pa.array(values[:, i]) for i, n in enumerate(Encoded.names)})
    for name in ("three boosters", "25 boosters", "boosters and forests"):
        members = [train(learner, seed // 5) for seed, learner in enumerate(ENSEMBLES[name])]
        predictor = Predictor([Part(member.export(), 1 / len(members)) for member in members], classes=2)
        path = tmp_path / "m.automl"
        model = Model(Encoder.fit(table, describe(table)), predictor, task="binary", classes=("a", "b"))
        start = time.perf_counter()
        model.save(path)
        saved = time.perf_counter() - start
        row = dict.fromkeys(Encoded.names, 1.0)
        code = f"import automl; automl.load_model({str(path)!r}).predict_proba({row!r})"
        ours = best(lambda code=code: subprocess.run([sys.executable, "-c", code], check=True), repeat=5)
        bare = best(lambda: subprocess.run([sys.executable, "-c", "import numpy"], check=True), repeat=5)
        print(
            f"\n{name}: {predictor.trees} trees of {count_nodes(predictor):,} nodes, {path.stat().st_size / 1e6:.1f} MB, saved in {saved:.2f} s; load and predict"
            f" {1e3 * (ours - bare):.0f} ms beyond `import numpy` ({1e3 * bare:.0f} ms)"
        )
