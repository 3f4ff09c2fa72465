"""A real PostgreSQL on loopback, for tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from deployment import need

PROGRAMS = ("initdb", "postgres", "pg_dump", "pg_restore", "psql", "createdb")


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Start a server, and remove it with its data at the end."""
    # Debian keeps the server's programs off the path.
    places = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", ":".join([os.environ["PATH"], *places]))
        for program in PROGRAMS:
            need(program, "postgresql")
        server = Postgres(Path("/tmp") / f"automl-postgres-{os.getpid()}")
        try:
            yield server
        finally:
            server.stop()


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
