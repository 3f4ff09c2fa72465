"""Studies, models and runs in MLflow, behind one object."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from automl_core import ComponentUnavailable, Study, Tracker, Trial, encode
from automl_core.diagnosis import FAILED, OK, WARNING, Finding
from automl_mlflow.autologging import Quiet
from automl_mlflow.background import Uploader
from automl_mlflow.connection import Connection, shown
from automl_mlflow.context import active_run, environment, run_tags, tracking_uri
from automl_mlflow.runs import Runs
from automl_mlflow.sending import flush
from automl_mlflow.settings import MLflowConfig
from automl_mlflow.spool import Spool

__all__ = ["MLflowTracker"]


class MLflowTracker(Runs, Tracker):
    """Records a study as a parent run with a child for each trial, keeps models, and takes runs by hand.

    A study is written to a spool on disk, which a process of its own sends: `start`, `log`, `artifact` do not wait for MLflow, and
    never fail because of it. What could not be sent stays there for `flush`.

    Args:
        config: None takes a SQLite file in `directory`.
        directory: of the engine: holds the default store, the spools and fetched models.
    """

    def __init__(self, config: MLflowConfig | None = None, *, directory: str | Path = ".automl") -> None:
        self.config = config or MLflowConfig.model_validate({})
        self._directory = directory
        self.connection = Connection(self.config, directory)
        self._spool: Spool | None = None
        self._uploader: Uploader | None = None
        self._finished: list[Uploader] = []
        self._quiet = Quiet()

    # ---- a study

    def start(self, study: Study) -> None:
        """Begin a study: a run of its own each time, all with the tag `automl.study`; see `Tracker.start`."""
        self.finish()
        connection = self._where()
        active = active_run(connection.uri)
        self._spool = Spool.make(connection.spools, study.id)
        self._quiet.begin()
        self._tell(
            "study",
            study=_plain(study),
            tags=run_tags(),
            environment=environment(),
            parent=active.info.run_id if active is not None else None,
            experiment=active.info.experiment_id if active is not None else None,
        )
        if not self.config.offline:
            self._uploader = Uploader(self._spool, connection, study=study.id)

    def log(self, trial: Trial) -> None:
        self._tell("trial", trial=_plain(trial))

    def artifact(self, name: str, path: Path) -> None:
        """Keep a file of the study; a model's becomes an MLflow model in a folder of its name."""
        self._tell("artifact", name=name, file=self._opened().keep(name, path))

    def finish(self, error: BaseException | None = None) -> None:
        """End the study. The rest is sent meanwhile; the end of the process waits for it, as long as settings allow."""
        self._quiet.end()
        if self._spool is None:
            return
        self._tell("end", error=None if error is None else f"{type(error).__name__}: {error}")
        self._spool.close()
        if self._uploader is not None:
            self._uploader.finish(self.config.flush_seconds)
            self._finished.append(self._uploader)
        self._spool = self._uploader = None

    def flush(self) -> tuple[int, int]:
        """Wait for studies that ended, then send what is left of any; see `Tracker.flush`."""
        busy = [uploader for uploader in self._finished if uploader.wait(self.config.flush_seconds)]
        self._finished = busy
        sent, left = flush(self.connection)
        return sent, left + len(busy)

    def close(self) -> None:
        self.finish()

    def diagnose(self) -> Iterator[Finding]:
        """Say whether MLflow answers, where its artifacts go, and whether studies wait to be sent."""
        connection = self._where()
        try:
            with connection.errors():
                found = connection.client.get_experiment_by_name(self.config.experiment_name)
        except ComponentUnavailable as error:
            yield Finding("MLflow", FAILED, str(error), "deploy/README.md#mlflow")
            return
        place = "their default place" if found is None else shown(str(found.artifact_location))
        if connection.local:
            said = f"{connection.shown}, of this machine only"
            yield Finding("MLflow", WARNING, said, "Set MLFLOW_TRACKING_URI to a server that others see too.")
        elif place.startswith(("/", "file:")):
            said = f"{connection.shown} answers, but artifacts go to {place} of each machine"
            yield Finding("MLflow", FAILED, said, "Start the server with --serve-artifacts; deploy/README.md#mlflow")
        else:
            yield Finding("MLflow", OK, f"{connection.shown} answers, artifacts go to {place}")
        waiting = len(list(connection.spools.iterdir())) if connection.spools.is_dir() else 0
        if waiting:
            said = f"{waiting} studies of this machine are not sent yet"
            yield Finding("MLflow spool", WARNING, said, "automl tracker flush")

    def _where(self) -> Connection:
        """Return the way to the settings' address; where they name none, to that of MLflow's active run."""
        uri = None if self.config.tracking_uri is not None else tracking_uri()
        if uri is None:
            return self.connection
        return Connection(self.config.model_copy(update={"tracking_uri": uri}), self._directory)

    def _tell(self, kind: str, **body: Any) -> None:
        self._opened().append(kind, time.time(), body)

    def _opened(self) -> Spool:
        if self._spool is None:
            raise RuntimeError("tracker 'mlflow' was told of a trial or file before the start of its study")
        return self._spool


def _plain(record: Study | Trial) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(encode(record))
    return plain
