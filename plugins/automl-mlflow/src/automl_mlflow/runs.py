"""Runs by hand: parameters, metrics and models of whatever was trained."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_core import AutoMLError, DataError
from automl_mlflow.context import active_run, run_tags
from automl_mlflow.flavour import MODEL_FILE
from automl_mlflow.limits import log_all, to_tags
from automl_mlflow.registry import ModelRegistry

if TYPE_CHECKING:
    from mlflow.entities import Run

__all__ = ["Runs"]


class Runs(ModelRegistry):
    """Starts one run after the other, and writes at once: each method waits for MLflow.

    Raises:
        ComponentUnavailable: MLflow does not answer, or refuses.
    """

    _run: Run | None = None

    def start_run(self, run_name: str | None = None, *, tags: Mapping[str, str] | None = None) -> str:
        """Start a run, a child of MLflow's active run if there is one, and return its id.

        Raises:
            AutoMLError: there is one already.
        """
        if self._run is not None:
            raise AutoMLError(f"the run {self._run.info.run_id} has not ended: call end_run first.")
        active = active_run(self.connection.uri)
        marks = {**run_tags(), **(tags or {})}
        if active is not None:
            marks["mlflow.parentRunId"] = active.info.run_id
        with self.connection.errors():
            experiment = self.connection.experiment() if active is None else active.info.experiment_id
            self._run = self.connection.client.create_run(experiment, tags=to_tags(marks), run_name=run_name)
        return str(self._run.info.run_id)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters of the run; what was logged once cannot be changed."""
        self._log(params=params)

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log metrics of the run; those that are not finite are named in the tag `automl.not_finite`."""
        self._log(metrics=metrics, step=step)

    def log_model(self, model: Any, *, registered_model_name: str | None = None, name: str = "model") -> str:
        """Log a model of the engine, and make it a new version of a registered model.

        Args:
            model: what `fit` gives, or the path of a saved model.
            name: the folder within the run.

        Returns:
            The URI to load it by: `models:/NAME/VERSION`, or `runs:/RUN/NAME` without a registered name.

        Raises:
            DataError: it is no model of the engine.
        """
        run = self._open()
        with tempfile.TemporaryDirectory() as folder:
            version = self._publish(_saved(model, Path(folder)), run, name, registered_model_name)
        return f"runs:/{run.info.run_id}/{name}" if version is None else f"models:/{registered_model_name}/{version}"

    def end_run(self, status: str = "FINISHED") -> None:
        """End the run: FINISHED, FAILED or KILLED; harmless without one."""
        if self._run is not None:
            with self.connection.errors():
                self.connection.client.set_terminated(self._run.info.run_id, status=status)
            self._run = None

    def get_best_run(self, metric: str, *, maximize: bool = True) -> Run | None:
        """Return the finished run of the experiment with the best value of a metric; None where no run has it."""
        with self.connection.errors():
            quoted = metric.replace("`", "")
            found = self.connection.client.search_runs(
                [self.connection.experiment()],
                f"metrics.`{quoted}` > -1e308 and attributes.status = 'FINISHED'",
                max_results=1,
                order_by=[f"metrics.`{quoted}` {'DESC' if maximize else 'ASC'}"],
            )
        return found[0] if found else None

    def _log(self, **values: Any) -> None:
        run = self._open()
        with self.connection.errors():
            log_all(self.connection.client, run.info.run_id, time=time.time(), **values)

    def _open(self) -> Run:
        if self._run is None:
            raise AutoMLError("there is no run: call start_run first.")
        return self._run


def _saved(model: Any, folder: Path) -> Path:
    """Return the file of a model, which is saved where it is in memory."""
    if isinstance(model, str | Path):
        return Path(model)
    if not hasattr(model, "save") or not hasattr(model, "predict"):
        raise DataError(f"a {type(model).__name__} is no model of the engine: give what fit returned, or a saved file.")
    model.save(folder / MODEL_FILE)
    return folder / MODEL_FILE
