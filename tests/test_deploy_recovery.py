"""Disaster recovery in small: the command of the backup's CronJob and those of the runbook, on a real PostgreSQL."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from deployment import DEPLOY
from postgres import Postgres, running_postgres
from sklearn.datasets import load_iris

from automl import AutoML
from automl.service import PredictionService
from automl_core import Plugins
from automl_core.settings import load_settings


def backup_command() -> str:
    (job,) = (
        item
        for item in yaml.safe_load_all((DEPLOY / "mlflow/postgres.yaml").read_text())
        if item["kind"] == "CronJob" and item["metadata"]["name"] == "mlflow-backup"
    )
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return container["command"][-1]


def restore_commands(place: int = 0) -> str:
    section = (DEPLOY / "README.md").read_text().partition("## Disaster recovery")[2]
    return re.findall(r"```\n(.*?)```", section, re.DOTALL)[place]


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


def test_registry_comes_back_from_the_nightly_dump(postgres: Postgres, tmp_path: Path) -> None:
    postgres.ask("create database mlflow", "postgres")
    postgres.ask("create table model_versions (name text, version int, primary key (name, version))")
    postgres.ask("insert into model_versions select 'income', generate_series(1, 1000)")
    script = (
        backup_command()
        .replace("/backups", str(tmp_path))
        .replace("/run/secrets/automl/POSTGRES_PASSWORD", str(postgres.folder / "password"))
    )
    postgres.run(script, PGDATABASE="mlflow")
    (dump,) = tmp_path.iterdir()
    assert dump.suffix == ".dump"

    postgres.ask("drop database mlflow", "postgres")
    postgres.run(restore_commands(), DUMP=str(dump))
    assert postgres.ask("select count(*), max(version) from model_versions") == "1000|1000"
    with pytest.raises(subprocess.CalledProcessError):  # the key came back too
        postgres.ask("insert into model_versions values ('income', 1)")


def test_old_dumps_go_and_the_last_fourteen_stay(postgres: Postgres, tmp_path: Path) -> None:
    postgres.ask("create database mlflow", "postgres")
    for day in range(1, 21):
        old = tmp_path / f"mlflow-202601{day:02}T021700Z.dump"
        old.write_text("old")
        os.utime(old, (day, day))
    script = (
        backup_command()
        .replace("/backups", str(tmp_path))
        .replace("/run/secrets/automl/POSTGRES_PASSWORD", str(postgres.folder / "password"))
    )
    postgres.run(script, PGDATABASE="mlflow")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert len(left) == 14
    assert left[0] == "mlflow-20260108T021700Z.dump"


def run(command: str, directory: Path, **variables: str) -> str:
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": programs, "AUTOML_DIRECTORY": str(directory), **variables}
    words = ["bash", "-euo", "pipefail", "-c", command]
    done = subprocess.run(words, env=environment, cwd=directory.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")
@pytest.mark.parametrize("tracker", ["journal", "mlflow"])
def test_engines_directory_comes_back_and_serves(tracker: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    settings = load_settings(learners="sklearn.linear", trackers=tracker, directory=str(state))
    table = load_iris(as_frame=True).frame
    fitted = AutoML(max_trials=1, time_limit=None, folds=2, n_jobs=1, settings=settings).fit(table, target="target")
    fitted.save(tmp_path / "m.automl")
    run("automl registry add model m.automl --alias champion", state, AUTOML_TRACKERS=tracker)
    run("automl backup saved.tar", state)
    shutil.rmtree(state)
    listed = run(restore_commands(1), state, BACKUP=str(tmp_path / "saved.tar"), AUTOML_TRACKERS=tracker)
    assert "champion" in listed

    service = PredictionService(Plugins(settings))
    service.add("models:/model@champion")
    with service:
        answer = service.predict(table.drop(columns="target").iloc[:5])
    assert answer.labels.tolist() == fitted.predict(table.iloc[:5]).tolist()
