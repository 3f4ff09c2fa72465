"""Disaster recovery in small: the command of the backup's CronJob and those of the runbook, on a real PostgreSQL."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from deployment import DEPLOY, need

PROGRAMS = ("initdb", "postgres", "pg_dump", "pg_restore", "psql", "createdb")


def backup_command() -> str:
    (job,) = (
        item
        for item in yaml.safe_load_all((DEPLOY / "mlflow/postgres.yaml").read_text())
        if item["kind"] == "CronJob" and item["metadata"]["name"] == "mlflow-backup"
    )
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return container["command"][-1]


def restore_commands() -> str:
    section = (DEPLOY / "README.md").read_text().partition("## Disaster recovery")[2]
    return re.findall(r"```\n(.*?)```", section, re.DOTALL)[0]


class Postgres:
    """A server on loopback, run by a user that is not root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.who = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
        folder.mkdir(mode=0o755)
        if self.who:
            shutil.chown(folder, "nobody", "nogroup")
        self.variables = {
            **os.environ, "PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "mlflow", "PGPASSWORD": "s3cret",
        }  # fmt: skip
        (folder / "password").write_text("s3cret")
        (folder / "password").chmod(0o644)
        data = str(folder / "data")
        command = [
            "initdb",
            "-D",
            data,
            "-U",
            "mlflow",
            "--auth=scram-sha-256",
            f"--pwfile={folder / 'password'}",
            "--no-sync",
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder, **self.who)
        options = ["-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-k", str(folder)]
        log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            ["postgres", "-D", data, *options], stderr=log, stdout=log, cwd=folder, **self.who
        )
        log.close()
        for _ in range(300):
            if (
                subprocess.run(
                    ["psql", "-d", "postgres", "-c", "select 1"], env=self.variables, capture_output=True
                ).returncode
                == 0
            ):
                return
            time.sleep(0.1)
        raise AssertionError((folder / "log").read_text())

    def ask(self, statement: str, database: str = "mlflow") -> str:
        command = ["psql", "-d", database, "-tA", "-v", "ON_ERROR_STOP=1", "-c", statement]
        return subprocess.run(command, env=self.variables, check=True, capture_output=True, text=True).stdout.strip()

    def run(self, script: str, **more: str) -> None:
        done = subprocess.run(["sh", "-euc", script], env={**self.variables, **more}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        shutil.rmtree(self.folder)


@pytest.fixture
def postgres(monkeypatch: pytest.MonkeyPatch) -> Iterator[Postgres]:
    # Debian keeps the server's programs off the path.
    places = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"))]
    monkeypatch.setenv("PATH", ":".join([os.environ["PATH"], *places]))
    for program in PROGRAMS:
        need(program, "postgresql")
    server = Postgres(Path("/tmp") / f"automl-postgres-{os.getpid()}")
    yield server
    server.stop()


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
