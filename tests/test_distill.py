"""A small student of a fitted model, in Python and in a shell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from automl import AutoML, load_model
from automl.cli.app import cli
from automl_core import DataError, SettingsError
from automl_core.settings import load_settings

LEARNERS = ("lightgbm",)


def rows(count: int, task: str, seed: int = 0) -> tuple[dict[str, Any], Any]:
    rng = np.random.default_rng(seed)
    x, z = rng.uniform(-3, 3, count), rng.normal(size=count)
    y = x + 2 * np.sin(2 * x) + z + rng.normal(size=count)
    told = {"binary": y > 0, "multiclass": np.digitize(y, [-1.5, 1.5]).astype(str), "regression": y}
    return {"x": x, "z": z, "kind": rng.choice(["a", "b", None], count)}, told[task]


def options(directory: Any, *, trials: int = 1) -> dict[str, Any]:
    settings = load_settings(directory=str(directory), learners=LEARNERS, executor="serial")
    return {"time_limit": None, "max_trials": trials, "folds": 2, "n_jobs": 1, "settings": settings}


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, AutoML]:
    found = {}
    for task in ("binary", "multiclass", "regression"):
        directory = tmp_path_factory.mktemp(task)
        found[task] = AutoML(**options(directory, trials=3)).fit(*rows(300, task), target="y")
    return found


def said(model: Any, data: Any) -> Any:
    return model.predict(data) if model.task == "regression" else model.predict_proba(data)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_student_says_what_its_teacher_says(tmp_path, teachers: Mapping[str, AutoML], task: str) -> None:
    teacher, (data, y), (new, truth) = teachers[task].model_, rows(300, task), rows(300, task, seed=1)
    student = teacher.distill({**data, "y": y}, holdout={**new, "y": truth}, **options(tmp_path)).model_
    apart = np.abs(said(student, new) - said(teacher, new)).mean()
    assert apart < 0.4 * np.abs(said(teacher, new) - said(teacher, new).mean(axis=0)).mean()
    told = student.info["distilled"]
    assert told["rows"] == 300
    assert told["student"]["trees"] < told["teacher"]["trees"]
    assert told["student"]["bytes"] < told["teacher"]["bytes"]
    assert told["student"]["score"] == pytest.approx(told["teacher"]["score"], rel=0.15)
    assert list(student.classes_) == list(teacher.classes_)


def test_a_student_learns_of_hundreds_of_classes_of_which_each_is_unlikely(tmp_path) -> None:
    rng = np.random.default_rng(0)
    data, y = {"x": rng.normal(size=450)}, np.repeat([f"c{i:03}" for i in range(150)], 3)
    teacher = AutoML(**options(tmp_path / "teacher")).fit(data, y)
    assert teacher.predict_proba(data).max(axis=1).min() < 0.01
    assert len(teacher.distill(data, y, **options(tmp_path / "student")).classes_) > 50


def test_a_student_keeps_to_its_limit_of_time_a_row(tmp_path, teachers: Mapping[str, AutoML]) -> None:
    data, y = rows(300, "regression")
    trees = [
        teachers["regression"].model_.distill(data, y, predict_time_limit=limit, **options(tmp_path / str(limit)))
        for limit in (13.0, 100.0)
    ]
    few, many = (student.model_.predictor.trees for student in trees)
    assert 0 < few <= 60 < many


def test_a_student_is_saved_explained_and_reported_as_any_model(tmp_path, teachers: Mapping[str, AutoML]) -> None:
    data, y = rows(300, "binary")
    student = teachers["binary"].distill(data, y, **options(tmp_path))
    student.save(tmp_path / "small.automl")
    loaded = load_model(tmp_path / "small.automl")
    assert (loaded.predict_proba(data) == student.predict_proba(data)).all()
    parts = loaded.predict_contributions(data)
    np.testing.assert_allclose(parts.sum(axis=1), loaded.predict_proba(data), atol=1e-6)
    new, truth = rows(200, "binary", seed=2)
    loaded.report(tmp_path / "report.html", data={**new, "y": truth})
    page = (tmp_path / "report.html").read_text()
    assert "no rows were held out" in page
    assert "teacher.distill(data, " in page
    assert not any("twin" in warning for warning in loaded.info["warnings"])


def test_unlabelled_rows_teach_where_labelled_ones_are_not(tmp_path, teachers: Mapping[str, AutoML]) -> None:
    teacher, (data, y) = teachers["regression"].model_, rows(300, "regression")
    low = data["x"] < 0
    labelled = {name: column[low] for name, column in data.items()}
    high = {name: column[~low] for name, column in data.items()}
    far = rows(300, "regression", seed=3)[0]
    far = {name: column[far["x"] > 0] for name, column in far.items()}

    def error(**more: Any) -> float:
        student = teacher.distill(labelled, y[low], **more, **options(tmp_path / str(len(more))))
        return float(np.abs(student.predict(far) - teacher.predict(far)).mean())

    assert error(unlabelled=high) < 0.5 * error()


def test_rows_of_the_sample_are_taught_as_said_before_they_were_learned(tmp_path, monkeypatch) -> None:
    # The teacher knows some of the noise by heart, which is no knowledge to hand on; what was observed would hide that.
    monkeypatch.setattr("automl.distill.TRUTH", 0.0)
    rng = np.random.default_rng(0)
    data, y = {"x": rng.normal(size=300), "z": rng.normal(size=300)}, rng.normal(size=300)
    settings = load_settings(directory=str(tmp_path), learners=("sklearn.extra_trees",), executor="serial")
    teacher = AutoML(**(options(tmp_path) | {"settings": settings})).fit(data, y, target="y")
    teacher.save(tmp_path / "big.automl")
    known = load_model(tmp_path / "big.automl").distill(data, y, **options(tmp_path / "known"))
    forgetful = load_model(tmp_path / "big.automl")
    forgetful.evidence = None
    unknown = forgetful.distill(data, y, **options(tmp_path / "unknown"))
    noise_learned, noise_copied = (np.polyfit(y, student.predict(data), 1)[0] for student in (known, unknown))
    assert noise_learned < 0.75 * noise_copied


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"metric": "rmse"}, SettingsError, "none of its own"),
        ({"unlabelled": {"x": [1.0]}}, DataError, "no column 'z'"),
    ],
)
def test_what_a_student_cannot_have_is_refused(
    tmp_path, teachers: Mapping[str, AutoML], more: Mapping[str, Any], error: type[Exception], words: str
) -> None:
    data, y = rows(50, "regression")
    with pytest.raises(error, match=words):
        teachers["regression"].model_.distill(data, y, **more, **options(tmp_path))


def test_rows_without_a_target_are_no_lesson(tmp_path, teachers: Mapping[str, AutoML]) -> None:
    with pytest.raises(DataError, match="no column 'y': rows without it go into `unlabelled`"):
        teachers["binary"].model_.distill(rows(50, "binary")[0], **options(tmp_path))


def test_the_command_tells_what_the_student_costs(tmp_path, teachers: Mapping[str, AutoML], monkeypatch) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    monkeypatch.setenv("AUTOML_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("AUTOML_LEARNERS", ",".join(LEARNERS))
    teachers["binary"].save(tmp_path / "big.automl")
    for name, seed in (("train", 0), ("test", 1)):
        data, y = rows(300, "binary", seed)
        pq.write_table(pa.table({**data, "y": y}), tmp_path / f"{name}.parquet")
    monkeypatch.chdir(tmp_path)
    words = "distill big.automl train.parquet --out small.automl --holdout test.parquet --time-limit 4 --quiet --json"
    done = CliRunner().invoke(cli, words.split(), catch_exceptions=False)
    told = json.loads(done.stdout)
    assert told["rows"] == 300
    assert told["student"]["bytes"] == pytest.approx((tmp_path / "small.automl").stat().st_size, rel=0.05)
    assert 0.5 < told["student"]["score"] <= 1
