"""From a spool to MLflow: one parent run for the study, a child for each trial."""

from __future__ import annotations

import json
import logging
import posixpath
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_core import ComponentUnavailable, Study, Trial, TrialState, decode
from automl_mlflow.connection import Refused
from automl_mlflow.curves import LEADERBOARD, Curve, Point, scores
from automl_mlflow.flavour import MODEL_SUFFIX, write_model
from automl_mlflow.limits import DATASET, NAME, log_all, log_points, milliseconds, to_tags, to_text
from automl_mlflow.report import write_drawings, write_report
from automl_mlflow.spool import leftovers

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from automl_mlflow.connection import Connection
    from automl_mlflow.spool import Line, Spool

__all__ = ["Sender", "flush"]

PUT_OFF, SHARE = 2.5, 0.25  # seconds, and at most this share of what the end waits: the report takes most of the rest
STEADY = 3  # records that are sent at each look, whatever may wait
USUAL = 0.03  # seconds of a trial, as long as none was sent
STATUS = {TrialState.COMPLETE: "FINISHED", TrialState.FAILED: "FAILED", TrialState.PRUNED: "KILLED"}
log = logging.getLogger("automl.mlflow")


class Sender:
    """Sends the records of one spool in order, each at least once; not thread-safe.

    Raises:
        Refused, ComponentUnavailable: MLflow does not take it; what is not sent yet stays, and `send` may be called again.
    """

    def __init__(self, spool: Spool, connection: Connection) -> None:
        self.spool, self.connection = spool, connection
        self.parent = ""
        self.ended = False
        self._waiting: list[Line] = []
        self._children: dict[int, str] = {}
        self._curve = Curve()
        self._metric = self._experiment = ""
        self._model: Path | None = None
        self._quickest = 0.0  # seconds of a trial

    @property
    def client(self) -> MlflowClient:
        return self.connection.client

    def send(self, *, whole: bool = True) -> int:
        """Send what there is, and return how many records that were.

        Args:
            whole: False puts off what can be sent in a moment at the end, or in a part of what that waits: while the study
                runs, MLflow, on the same machine, takes its trials' time.
        """
        count = 0
        self._waiting.extend(self.spool.new())
        moment = min(PUT_OFF, SHARE * self.connection.config.flush_seconds)
        room = int(moment / (self._quickest or USUAL))
        left = 0 if whole else min(room, max(len(self._waiting) - STEADY, 0))
        while len(self._waiting) > left:
            line = self._waiting[0]
            if line.number in self.spool.sent:
                self._remember(line, self.spool.sent[line.number])
            else:
                began = time.perf_counter()
                run = self._send(line)
                if line.kind == "trial":
                    took = time.perf_counter() - began
                    self._quickest = min(self._quickest or took, took)
                self.spool.mark(line.number, run)
                self._remember(line, run)
                count += 1
            self._waiting.pop(0)
        self._send_curve()
        return count

    def close_killed(self) -> None:
        """Say of a study without an end that its process was killed."""
        if self.parent and not self.ended:
            with self.connection.errors():
                self.client.set_terminated(self.parent, status="KILLED")
            self.ended = True

    # ---- records

    def _remember(self, line: Line, run: str) -> None:
        if line.kind == "study":
            self.parent, self._experiment = run, str(line.body["experiment"] or "")
            self._metric = line.body["study"]["metric"]
        elif line.kind == "trial":
            self._children[line.body["trial"]["id"]] = run
            # Of what an earlier process sent, too: whether its last points were among it is not noted.
            self._curve.add(line.body["trial"], line.time)
        elif line.kind == "artifact" and line.body["name"].endswith(MODEL_SUFFIX):
            self._model = self.spool.folder / line.body["file"]
        self.ended = self.ended or line.kind == "end"

    def _send(self, line: Line) -> str:
        try:
            with self.connection.errors():
                return getattr(self, f"_send_{line.kind}")(line) or self.parent
        except Refused as error:
            # Denied is denied for all; what MLflow dislikes about one record must not hold up the others.
            if line.kind == "study" or error.status != 400:
                raise
            log.warning("a %s of the study is not recorded: %s", line.kind, error)
            return self.parent

    def _send_study(self, line: Line) -> str:
        study, about = _record(line.body["study"]), line.body
        assert isinstance(study, Study)  # noqa: S101 - the spool's own line
        tags = {"automl.study": study.id, **about["tags"]}
        if about["parent"]:
            tags["mlflow.parentRunId"] = about["parent"]
        experiment = about["experiment"] or self.connection.experiment()
        run = self._run(line, experiment, f"{study.target} {study.task} {study.id[:8]}", line.time, tags)
        params = {name: getattr(study, name) for name in Study.__slots__ if name not in ("id", "settings")}
        params |= {f"settings.{name}": value for name, value in study.settings.items()}
        params |= {f"environment.{name}": value for name, value in about["environment"].items()}
        log_all(self.client, run, params=params, time=line.time)
        self._describe_data(run, study)
        return run

    def _run(self, line: Line, experiment: str, name: str, started: float, tags: dict[str, Any]) -> str:
        """Return the run of a record, which is made once, however often it takes to send the rest of the record."""
        if line.number not in self.spool.made:
            run = self.client.create_run(experiment, milliseconds(started), to_tags(tags), to_text(name, NAME))
            self.spool.mark(line.number, str(run.info.run_id), whole=False)
        return self.spool.made[line.number]

    def _describe_data(self, run: str, study: Study) -> None:
        from mlflow.entities import Dataset, DatasetInput
        from mlflow.exceptions import MlflowException

        digest = str(study.settings.get("data", study.id))[:36]
        profile = json.dumps({"num_rows": study.rows, "num_elements": study.rows * study.columns})
        source = json.dumps({"target": study.target})
        inputs = [DatasetInput(Dataset(to_text(study.target, DATASET), digest, "automl", source, None, profile))]
        try:
            self.client.log_inputs(run, inputs)
        except MlflowException as error:
            # Of two studies of the same data that start at once, MLflow 3.17 fails one; then the data is known.
            if "unique constraint" not in str(error).lower():
                raise
            self.client.log_inputs(run, inputs)

    def _send_trial(self, line: Line) -> str:
        trial = _record(line.body["trial"])
        assert isinstance(trial, Trial)  # noqa: S101 - the spool's own line
        known = self._children.get(trial.id)
        # In the spool's JSON a number that is not finite is null.
        odd = sorted(name for name, value in line.body["trial"]["metrics"].items() if value is None)
        outcome = {
            "automl.state": trial.state.value, "automl.error": trial.error, "automl.not_finite": ", ".join(odd) or None,
        }  # fmt: skip
        run = known or self._child(trial, line, outcome)
        numbers = {"loss": trial.loss, "seconds": trial.seconds, "rounds": trial.rounds, **trial.metrics}
        # A parameter cannot be logged twice; a trial that is told of again has the same ones, and the same folds.
        params = {} if known else {"learner": trial.learner, "seed": trial.seed, **trial.params}
        folds = () if known else enumerate(trial.fold_losses)
        points = [Point("fold_loss", loss, line.time, fold) for fold, loss in folds if loss is not None]
        # Tags that a run is made with cost MLflow nothing, those that are set later a sixth of the whole (measured).
        tags = outcome if known else {}
        # Of two values at one step within a millisecond, MLflow shows the greater one as the last.
        step = line.number if known else 0
        log_all(self.client, run, params=params, metrics=numbers, points=points, tags=tags, time=line.time, step=step)
        self.client.set_terminated(run, status=STATUS.get(trial.state, "RUNNING"), end_time=milliseconds(line.time))
        return run

    def _child(self, trial: Trial, line: Line, outcome: dict[str, Any]) -> str:
        tags = {
            "mlflow.parentRunId": self.parent, "automl.trial": trial.id, "automl.learner": trial.learner,
            "automl.origin": trial.origin, **outcome,
        }  # fmt: skip
        experiment = self._experiment or self.connection.experiment()
        return self._run(line, experiment, f"{trial.id} {trial.learner}", line.time - trial.seconds, tags)

    def _send_artifact(self, line: Line) -> None:
        name, file = line.body["name"], self.spool.folder / line.body["file"]
        if not name.endswith(MODEL_SUFFIX):
            self.client.log_artifact(self.parent, str(file), posixpath.dirname(name) or None)
            if name == LEADERBOARD:
                log_points(self.client, self.parent, scores(file, self._metric, line.time))
            return
        with tempfile.TemporaryDirectory() as folder:
            write_model(file, Path(folder))
            self.client.log_artifacts(self.parent, folder, name.removesuffix(MODEL_SUFFIX))

    def _send_curve(self) -> None:
        """Send what the trials since the last time add to the parent's metrics, in one request."""
        if not self._curve.points:
            return
        try:
            with self.connection.errors():
                log_points(self.client, self.parent, self._curve.points)
        except Refused as error:
            if error.status != 400:
                raise
            log.warning("the losses of the study by trial are not recorded: %s", error)
        self._curve.points.clear()

    def _send_end(self, line: Line) -> None:
        self._send_curve()
        error = line.body["error"]
        if error:
            log_all(self.client, self.parent, tags={"automl.error": error}, time=line.time)
        self.client.set_terminated(
            self.parent, status="FAILED" if error else "FINISHED", end_time=milliseconds(line.time)
        )
        if self._model is not None and self.connection.config.report:
            self._send_report(self._model)

    def _send_report(self, model: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "report.html"
            if write_report(model, page):
                write_drawings(page, page.parent / "plots")
                self.client.log_artifacts(self.parent, folder)


def flush(connection: Connection) -> tuple[int, int]:
    """Send the spools that nobody has open, and close the runs of killed studies.

    Returns:
        How many records were sent, and how many spools could not be sent whole.
    """
    sent = left = 0
    for spool in leftovers(connection.spools):
        sender = Sender(spool, connection)
        try:
            sent += sender.send()
            sender.close_killed()
            spool.remove()
        except ComponentUnavailable as error:
            log.warning("%s stays: %s", spool.folder, error)
            left += 1
        finally:
            spool.close()
    return sent, left


def _record(body: dict[str, Any]) -> Any:
    return decode(json.dumps(body).encode())
