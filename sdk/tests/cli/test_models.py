"""The way of a table through the command line: fit, predict, leaderboard, inspect."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from automl.cli.app import cli
from automl.cli.demo import data_path

LINES = data_path().read_text().splitlines()
LEARNER = "sklearn.linear"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two tables and a model that was fitted to the first by the command line."""
    place: Path = tmp_path_factory.mktemp("cli")
    (place / "train.csv").write_text("\n".join(LINES[:601]) + "\n")
    (place / "test.csv").write_text("\n".join([LINES[0], *LINES[601:801]]) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        words = ["fit", "train.csv", "--target", "y", "--time-limit", "15", "--learners", LEARNER, "--json"]
        result = CliRunner().invoke(
            cli, [*words, "--holdout", "test.csv", "--report", "report.html"], prog_name="automl"
        )
    assert result.exit_code == 0, result.stderr
    (place / "stdout").write_text(result.stdout)
    (place / "stderr").write_text(result.stderr)
    return place


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def call(*words: str) -> str:
    result = CliRunner().invoke(cli, words, prog_name="automl")
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_fit_tells_a_machine_what_it_found(here: Path) -> None:
    found = json.loads((here / "stdout").read_text())
    assert (found["model"], found["task"], found["target"]) == ("model.automl", "binary", "y")
    assert found["metric"] == "roc_auc"
    assert 0.6 < found["holdout_score"] <= 1
    assert found["seconds"] < 60


def test_fit_writes_a_report_of_the_held_out_rows(here: Path) -> None:
    page = (here / "report.html").read_text(encoding="utf-8")
    assert json.loads((here / "stdout").read_text())["report"] == "report.html"
    assert "held out, 200 rows" in page


def test_report_of_a_saved_model_is_written(here: Path) -> None:
    assert call("report", "model.automl", "--out", "saved.html").startswith("wrote saved.html (")
    assert "AutoML(" in (here / "saved.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("words", "message"), [
    (["report", "model.automl", "--out", "no/where.html"], "does not exist; create it first"),
    (["report", "none.automl"], "no model at none.automl"),
    (["report", "model.automl", "--data", "test.csv", "--group", "maritl"], "Did you mean 'marital'?"),
])  # fmt: skip
def test_report_that_cannot_be_says_why(here: Path, words: list[str], message: str) -> None:
    result = CliRunner().invoke(cli, words, prog_name="automl")
    assert result.exit_code in (1, 2)
    assert message in result.stderr


def test_fit_shows_plain_progress_on_stderr(here: Path) -> None:
    lines = (here / "stderr").read_text().splitlines()
    assert lines[0] == "binary of 'y': 600 rows, 16 columns, roc_auc, up to 15 s"
    assert any(LEARNER in line and "roc_auc 0." in line for line in lines)


def test_predictions_are_labels_in_the_order_of_rows(here: Path) -> None:
    rows = list(csv.DictReader(call("predict", "model.automl", "test.csv").splitlines()))
    assert len(rows) == 200
    assert {row["y"] for row in rows} <= {"yes", "no"}


def test_probabilities_agree_with_the_labels(here: Path) -> None:
    rows = list(csv.DictReader(call("predict", "model.automl", "test.csv", "--proba").splitlines()))
    assert all(float(row["probability_yes"]) + float(row["probability_no"]) == pytest.approx(1) for row in rows)
    assert all((float(row["probability_yes"]) > 0.5) == (row["y"] == "yes") for row in rows)


def test_parquet_holds_what_csv_holds(here: Path) -> None:
    from pyarrow import parquet

    call("predict", "model.automl", "test.csv", "--proba", "--out", "p.parquet")
    call("predict", "model.automl", "test.csv", "--proba", "--out", "p.csv")
    table = parquet.read_table("p.parquet").to_pylist()
    with Path("p.csv").open() as file:
        assert [{key: str(value) for key, value in row.items()} for row in table] == list(csv.DictReader(file))


def test_leaderboard_is_that_of_the_fit(here: Path) -> None:
    assert (
        json.loads(call("leaderboard", "model.automl", "--json"))
        == json.loads((here / "stdout").read_text())["leaderboard"]
    )
    assert LEARNER in call("leaderboard", "model.automl")


def test_inspect_tells_the_target_and_the_parts(here: Path) -> None:
    manifest = json.loads(call("inspect", "model.automl", "--json"))
    assert manifest["target"] == "y"
    assert "binary of 'y', chosen by roc_auc" in call("inspect", "model.automl")


def test_missing_target_names_the_columns(run, here: Path) -> None:
    result = run("fit", str(here / "train.csv"), "--target", "yy", "--quiet")
    assert result.exit_code == 1
    assert "'yy'" in result.stderr
    assert "Did you mean 'y'?" in result.stderr


def test_unknown_metric_exits_with_2(run, here: Path) -> None:
    result = run("fit", str(here / "train.csv"), "--target", "y", "--metric", "roc_acu", "--quiet")
    assert result.exit_code == 2
    assert "roc_auc" in result.stderr


def test_no_probabilities_of_numbers(run, here: Path) -> None:
    fitted = run(
        "fit", str(here / "train.csv"), "--target", "age", "--time-limit", "10", "--learners", LEARNER, "--quiet"
    )
    assert fitted.exit_code == 0, fitted.stderr
    result = run("predict", "model.automl", str(here / "test.csv"), "--proba")
    assert result.exit_code == 1
    assert "leave out --proba" in result.stderr


def start_fit(here: Path, tmp_path: Path) -> subprocess.Popen[str]:
    """Start a fit that would last for minutes, and return once its first trial is finished."""
    words = ["fit", str(here / "train.csv"), "--target", "y", "--time-limit", "300"]
    process = subprocess.Popen(
        [sys.executable, "-m", "automl", *words],
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell starts what runs in its background deaf to interrupts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "roc_auc 0." in line:
            return process
    raise AssertionError("the fit ended before its first trial did")


def test_first_interrupt_keeps_the_best_model(here: Path, tmp_path: Path) -> None:
    process = start_fit(here, tmp_path)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "keeping the best model so far" in err
    assert "saved model.automl" in out
    assert (tmp_path / "model.automl").is_file()


TWICE = """
import os, signal, time
from automl.cli.ending import two_stage_interrupt

with two_stage_interrupt():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    except KeyboardInterrupt:
        print("first", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
    print("second")
"""


def test_second_interrupt_ends_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stdout) == (130, "first\n")


FAILING = """
from automl_core import TASKS, Learner, Provider, Space, hookimpl

class Failing(Learner):
    tasks = TASKS

    def space(self, task):
        return Space()

    def fit(self, job):
        raise RuntimeError("out of luck")

@hookimpl
def automl_learners():
    yield Provider("failing", lambda context: Failing(), "Fails.")
"""


def test_fit_in_which_nothing_succeeds_says_so(run, installed, here: Path) -> None:
    installed("failing", FAILING)
    result = run("fit", str(here / "train.csv"), "--target", "y", "--time-limit", "5", "--learners", "failing")
    assert result.exit_code == 0
    assert "no fit succeeded" in result.stderr
    assert "failed: RuntimeError: out of luck" in result.stderr


def test_demo_shows_the_whole_way(run) -> None:
    result = run("demo", "--time-limit", "10", "--quiet", AUTOML_LEARNERS=LEARNER)
    assert result.exit_code == 0, result.stderr
    assert "3391 rows to fit, 1130 held out" in result.stdout
    assert "roc_auc on the held-out rows: 0." in result.stdout
    assert "prediction: no" in result.stdout or "prediction: yes" in result.stdout
    assert f"automl inspect .automl{os.sep}demo.automl" in result.stdout
