"""Rows without a target are learned from by labels that models give them, where that pays on rows that have one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.datasets import load_digits

from automl import AutoML, load_model
from automl.cli.app import cli
from automl_core import DataError, hookimpl
from automl_core.settings import load_settings
from automl_core.testing.fakes import installed

ROWS, MORE, NEW = 60, 300, 300

ROTE = '''
import json, os
import numpy as np
from automl_core import TASKS, Learner, Provider, Space, hookimpl

class Memory:
    """Says of a row what it has learned of the nearest one."""
    rounds = None
    def __init__(self, values, target, error):
        self.values, self.target, self.error = values, target, error
    def predict(self, values):
        nearest = np.abs(values[:, None, 0] - self.values[None, :, 0]).argmin(axis=1)
        return self.target[nearest] + self.error

class Step:
    """Says with one certainty on which side of 0.5 a row is."""
    rounds = None
    def __init__(self, certainty):
        self.certainty = certainty
    def predict(self, values):
        first = np.where(values[:, 0] > 0.5, 1 - self.certainty, self.certainty)
        return np.column_stack([first, 1 - first])

class Memorise(Learner):
    """Writes down what each fit learns from; `spoilt` ones are wrong where a model gave labels."""
    tasks = TASKS
    def __init__(self, spoilt):
        self.spoilt = spoilt
    def space(self, task):
        return Space({})
    def fit(self, job):
        values, target = job.data.values[job.train], job.data.target[job.train]
        given = job.train < len(job.data.target) if job.valid is None else job.train < int(os.environ["LABELLED"])
        valid = [] if job.valid is None else job.data.values[job.valid, 0].tolist()
        with open(os.environ["LESSONS"], "a") as file:
            lesson = {"x": values[:, 0].tolist(), "y": target.tolist(), "given": given.tolist(), "valid": valid}
            file.write(json.dumps(lesson) + "\\n")
        if job.task == "binary":
            return Step(0.9 if given.all() else 1.0)
        return Memory(values, target, 5.0 if self.spoilt and not given.all() else 0.0)

@hookimpl
def automl_learners():
    yield Provider("honest", lambda context: Memorise(False), "A learner for tests.")
    yield Provider("spoilt", lambda context: Memorise(True), "A learner for tests.")
'''


def rows(count: int, task: str, seed: int) -> tuple[pd.DataFrame, Any]:
    rng = np.random.default_rng(seed)
    x, z = rng.uniform(-3, 3, count), rng.normal(size=count)
    y = x + z + 0.5 * rng.normal(size=count)
    told = {"binary": y > 0, "multiclass": np.digitize(y, [-1.5, 1.5]).astype(str), "regression": y}
    kind = rng.choice(np.array(["a", "b", None], dtype=object), count)
    return pd.DataFrame({"x": x, "z": z, "kind": kind}), told[task]


def engine(directory: Any, *, learners: tuple[str, ...] = ("sklearn.linear", "lightgbm"), **options: Any) -> AutoML:
    settings = load_settings(
        directory=str(directory), learners=learners, executor=options.pop("executor", "serial"), search="random",
        trackers=(),
    )  # fmt: skip
    return AutoML(**({"time_limit": None, "max_trials": 4, "folds": 3, "n_jobs": 1, "settings": settings} | options))


def second_round(fitted: AutoML) -> list[Any]:
    return [row for row in fitted.leaderboard()[1:] if row["view"].endswith("+unlabelled")]


@pytest.fixture
def lessons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install learners that know by heart what they learned, and write it down in the file that is returned."""
    monkeypatch.setenv("LESSONS", str(tmp_path / "lessons"))
    monkeypatch.setenv("LABELLED", str(ROWS))
    with installed(tmp_path / "site", "rote", "rote_learners", source=ROTE):
        yield tmp_path / "lessons"


# ---- what becomes of them


@pytest.mark.parametrize("quality", ["best", "fast"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_second_half_of_the_trials_learns_from_them(tmp_path, task: str, quality: str) -> None:
    fitted = engine(tmp_path, quality=quality).fit(*rows(ROWS, task, 0), unlabelled=rows(MORE, task, 1)[0])
    told, new = fitted.model_.info["unlabelled"], rows(NEW, task, 2)[0]
    assert (told["rows"], told["trials"], len(second_round(fitted))) == (MORE, 2, 2)
    assert told["learned"] == MORE if task == "regression" else 0.5 * MORE < told["learned"] < 0.8 * MORE
    assert told["used"] == any(row["weight"] for row in second_round(fitted))
    fitted.save(tmp_path / "model.automl")
    loaded = load_model(tmp_path / "model.automl")
    assert (loaded.predict(new) == fitted.predict(new)).all()
    assert loaded.info["unlabelled"] == told


def test_they_pay_where_labels_are_few_and_classes_lie_apart(tmp_path) -> None:
    X, y = load_digits(return_X_y=True)
    chosen = np.random.default_rng(0).permutation(len(X))
    few, more, new = np.split(chosen[:1200], [100, 700])
    options = {"learners": ("sklearn.linear",), "max_trials": 2}
    with_them = engine(tmp_path / "a", **options).fit(X[few], y[few], unlabelled=X[more])
    without = engine(tmp_path / "b", **options).fit(X[few], y[few])
    told = with_them.model_.info["unlabelled"]
    assert told["used"]
    assert told["with"] < told["without"]  # log loss
    assert with_them.score(X[new], y[new]) < without.score(X[new], y[new])


def test_members_that_are_worse_with_them_stay_out(tmp_path, lessons: Path) -> None:
    x = np.linspace(0, 1, ROWS)
    fitted = engine(tmp_path, learners=("rote.spoilt",), max_trials=2)
    fitted.fit({"x": x}, x, unlabelled={"x": np.linspace(0, 1, 77)})
    told = fitted.model_.info["unlabelled"]
    assert (told["trials"], told["used"]) == (1, False)
    assert [row["weight"] for row in second_round(fitted)] == [0.0]
    assert np.abs(fitted.predict({"x": x}) - x).max() < 0.1


def test_certainty_that_few_rows_cannot_prove_is_no_gain(tmp_path, lessons: Path) -> None:
    x = np.linspace(0, 1, ROWS)
    fitted = engine(tmp_path, learners=("rote.honest",), max_trials=2, metric="log_loss")
    fitted.fit({"x": x}, x > 0.5, unlabelled={"x": np.linspace(0, 1, 77)})
    assert second_round(fitted)[0]["score"] < 0.01
    assert not fitted.model_.info["unlabelled"]["used"]


@pytest.mark.parametrize(("task", "metric"), [("binary", "log_loss"), ("regression", "rmse")])
def test_rows_from_elsewhere_do_no_harm(tmp_path, task: str, metric: str) -> None:
    far = pd.DataFrame(np.random.default_rng(0).normal(50, 20, (MORE, 2)), columns=["x", "z"]).assign(kind="c")
    (data, y), (new, truth) = rows(ROWS, task, 0), rows(NEW, task, 2)
    with_them = engine(tmp_path / "a", metric=metric).fit(data, y, unlabelled=far).score(new, truth)
    without = engine(tmp_path / "b", metric=metric, max_trials=2).fit(data, y).score(new, truth)
    assert with_them < 1.05 * without


# ---- no part judges by what it was told


def test_no_part_gets_labels_from_a_model_that_knew_its_validation_rows(tmp_path, lessons: Path) -> None:
    # The targets are noise, and unlabelled rows are copies of the labelled: only who has seen a target can tell it.
    rng = np.random.default_rng(0)
    x, y = np.float32(rng.permutation(ROWS)), rng.normal(size=ROWS)
    fitted = engine(tmp_path, learners=("rote.honest",), max_trials=2).fit({"x": x}, y, unlabelled={"x": x})
    truth = dict(zip(x.tolist(), y.tolist(), strict=True))
    learned = [json.loads(line) for line in lessons.read_text().splitlines()]
    second = [lesson for lesson in learned if lesson["valid"] and not all(lesson["given"])]
    assert len(second) == 3
    for lesson in second:
        judging = set(lesson["valid"])
        copies = [(x, y) for x, y, given in zip(lesson["x"], lesson["y"], lesson["given"], strict=True) if not given]
        assert len(copies) == ROWS
        assert all((truth[x] == pytest.approx(y)) == (x not in judging) for x, y in copies)
    told = fitted.model_.info["unlabelled"]
    assert told["with"] == pytest.approx(told["without"])
    assert not told["used"]


# ---- time, interrupts, other machines


def test_the_time_limit_holds_with_them(tmp_path) -> None:
    data, y = rows(2000, "binary", 0)
    more = rows(20_000, "binary", 1)[0]
    started = time.monotonic()
    fitted = engine(tmp_path, time_limit=6.0, max_trials=None, executor="threads").fit(data, y, unlabelled=more)
    assert time.monotonic() - started < 20
    assert fitted.model_.info["unlabelled"]["rows"] == 20_000
    assert fitted.score(data, y) > 0.9


@pytest.mark.parametrize(("trial", "learned"), [(0, 0), (2, 1)])
def test_an_interrupt_keeps_what_is_fitted(tmp_path, trial: int, learned: int) -> None:
    class Impatient:
        @hookimpl
        def automl_trial_finished(self, trial: Any) -> None:
            if trial.id == number:
                raise KeyboardInterrupt

    number = trial
    data, y = rows(ROWS, "binary", 0)
    fitted = engine(tmp_path, listeners=[Impatient()]).fit(data, y, unlabelled=rows(MORE, "binary", 1)[0])
    assert fitted.outcome_.interrupted
    told = fitted.model_.info["unlabelled"]
    assert (told["trials"], told["with"] is None) == (learned, not learned)
    assert fitted.score(data, y) > 0.9


def test_every_executor_finds_the_same_model(tmp_path) -> None:
    (data, y), more, new = rows(ROWS, "binary", 0), rows(MORE, "binary", 1)[0], rows(NEW, "binary", 2)[0]
    said = [
        engine(tmp_path / name, learners=("sklearn.linear",), executor=name, n_jobs=2)
        .fit(data, y, unlabelled=more)
        .predict_proba(new)
        for name in ("serial", "threads", "processes")
    ]
    assert (said[0] == said[1]).all()
    assert (said[0] == said[2]).all()


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from test_unlabelled import MORE, ROWS, engine, rows
from automl.study import frame, loop

def fit_part(shared, order):
    if order.view.endswith("+unlabelled") and order.part == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return frame.fit_part(shared, order)

loop.fit_part = fit_part
engine(sys.argv[1]).fit(*rows(ROWS, "binary", 0), unlabelled=rows(MORE, "binary", 1)[0])
"""


def test_a_killed_study_goes_on_in_its_second_round(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    from automl.study import frame, loop

    words = [sys.executable, "-c", KILLED, str(tmp_path / "killed"), str(Path(__file__).parent)]
    died = subprocess.run(words, capture_output=True, text=True, timeout=100, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr
    fits: list[tuple[str, int]] = []

    def fit_part(shared: Any, order: Any) -> Any:
        fits.append((order.view, order.part))
        return frame.fit_part(shared, order)

    monkeypatch.setattr(loop, "fit_part", fit_part)
    (data, y), more, new = rows(ROWS, "binary", 0), rows(MORE, "binary", 1)[0], rows(NEW, "binary", 2)[0]
    resumed = engine(tmp_path / "killed").fit(data, y, unlabelled=more)
    assert fits
    assert all(view.endswith("+unlabelled") for view, _ in fits)
    assert fits[0][1] == 1
    calm = engine(tmp_path / "calm").fit(data, y, unlabelled=more)
    np.testing.assert_allclose(resumed.predict_proba(new), calm.predict_proba(new), atol=1e-6)


# ---- what cannot be


@pytest.mark.parametrize(
    ("more", "options", "words"),
    [
        ({"x": [1.0], "kind": ["a"]}, {}, "unlabelled: .*'z'"),
        ({"x": [], "z": [], "kind": []}, {}, "unlabelled: the table has no rows"),
        ({"x": [1.0], "z": [1.0], "kind": ["a"]}, {"time": np.arange(ROWS)}, "unlabelled .* time"),
        ({"x": [1.0], "z": [1.0], "kind": ["a"]}, {"groups": np.arange(ROWS) % 9}, "unlabelled .* groups"),
    ],
)
def test_rows_that_cannot_be_learned_from_are_refused(tmp_path, more: Any, options: Any, words: str) -> None:
    data, y = rows(ROWS, "regression", 0)
    with pytest.raises(DataError, match=words):
        engine(tmp_path).fit(data, y, unlabelled=more, **options)


def test_a_quantile_is_no_label(tmp_path) -> None:
    data, y = rows(ROWS, "regression", 0)
    with pytest.raises(DataError, match=r"pinball:0.9: a quantile is no value to learn from"):
        engine(tmp_path, metric="pinball:0.9").fit(data, y, unlabelled=data)


def test_a_target_that_unlabelled_rows_have_is_ignored_and_said(tmp_path, caplog) -> None:
    (data, y), (more, _) = rows(ROWS, "binary", 0), rows(MORE, "binary", 1)
    new = rows(NEW, "binary", 2)[0]
    wrong = engine(tmp_path / "a").fit(data.assign(y=y), target="y", unlabelled=more.assign(y=True))
    assert "have the column 'y', the target: it is ignored" in caplog.text
    none = engine(tmp_path / "b").fit(data.assign(y=y), target="y", unlabelled=more)
    assert (wrong.predict_proba(new) == none.predict_proba(new)).all()


def test_one_trial_is_not_spent_on_them(tmp_path) -> None:
    fitted = engine(tmp_path, max_trials=1).fit(*rows(ROWS, "binary", 0), unlabelled=rows(MORE, "binary", 1)[0])
    told = fitted.model_.info["unlabelled"]
    assert (told["trials"], told["used"], len(fitted.leaderboard())) == (0, False, 2)


# ---- people


def test_the_command_and_the_report_tell_what_became_of_them(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOML_DIRECTORY", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (data, y), more = rows(ROWS, "binary", 0), rows(MORE, "binary", 1)[0]
    data.assign(y=y).to_csv("few.csv", index=False)
    more.to_csv("many.csv", index=False)
    words = ["fit", "few.csv", "--target", "y", "--unlabelled", "many.csv", "--quality", "fast", "--quiet"]
    words += ["--learners", "sklearn.linear", "--time-limit", "20", "--report", "report.html"]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert "\nunlabelled rows (300, learned from " in done.stdout
    page = Path("report.html").read_text()
    assert "The unlabelled rows (300, learned from " in page
    assert "--unlabelled MORE" in page
    told = json.loads(CliRunner().invoke(cli, [*words, "--json"], catch_exceptions=False).stdout)["unlabelled"]
    assert (told["rows"], told["trials"]) == (300, 1)
