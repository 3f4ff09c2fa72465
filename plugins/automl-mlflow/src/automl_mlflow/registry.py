"""Versions and aliases of models in MLflow's registry."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from automl_core import DataError
from automl_mlflow.connection import Connection, Refused
from automl_mlflow.flavour import MODEL_FILE, MODEL_SUFFIX, read_manifest, write_model
from automl_mlflow.limits import to_tags

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

__all__ = ["ModelRegistry"]

HISTORY = "automl.alias."  # and the alias: the versions that it pointed at, a JSON list, as MLflow keeps none
DIGEST = "automl.sha256"


class ModelRegistry:
    """Keeps model files as MLflow models under their study's run; see `automl_core.Registry`.

    Raises:
        ComponentUnavailable: MLflow does not answer, or refuses.
    """

    connection: Connection

    def register(self, name: str, path: Path, *, tags: Mapping[str, str] | None = None) -> str:
        """Upload a model file as a new version and return its number; tags tell its lineage.

        Study and data, by its fingerprint, are told of themselves where MLflow knows the study.
        """
        study = (tags or {}).get("study") or read_manifest(path).get("info", {}).get("study", "")
        with self.connection.errors():
            run = self._home(name, study)
        version = self._publish(path, run, f"models/{_digest(path)[:12]}", name, tags=tags)
        assert version is not None  # noqa: S101 - as there is a name
        return version

    def resolve(self, name: str, version: str) -> Path:
        """Return a local copy of the file of a version or alias; one that is here already is not fetched again.

        Raises:
            KeyError: there is no such model, version or alias. DataError: it holds no model of the engine.
        """
        found = self._find(name, version)
        digest = found.tags.get(DIGEST) or hashlib.sha256(f"{found.source}".encode()).hexdigest()
        target = self.connection.folder / "cache" / digest / MODEL_FILE
        if not target.is_file():
            self._fetch(f"{found.source}/{MODEL_FILE}", target, digest=found.tags.get(DIGEST))
        return target

    def fetch(self, uri: str) -> Path:
        """Return a local copy of a model that a run holds: `runs:/RUN/PATH`.

        Raises:
            DataError: there is no such model.
        """
        file = uri if uri.endswith(MODEL_SUFFIX) else f"{uri.rstrip('/')}/{MODEL_FILE}"
        target = self.connection.folder / "cache" / hashlib.sha256(uri.encode()).hexdigest() / MODEL_FILE
        self._fetch(file, target)
        return target

    def alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias at a version, or at what another alias points at now: a promotion.

        Raises:
            KeyError: there is no such model, version or alias. ValueError: MLflow does not take the alias.
        """
        number = str(self._find(name, version).version)
        history = self._history(name, alias)
        try:
            with self.connection.errors():
                self.connection.client.set_registered_model_alias(name, alias, number)
        except Refused as error:
            if error.status == 400:
                raise ValueError(f"{alias!r} cannot be an alias: {error}") from None
            raise
        if history[-1:] != [number]:
            self._remember(name, alias, [*history, number])

    def rollback(self, name: str, alias: str) -> str:
        """Point an alias at the version that it had before, and return that; repeated, it goes back further.

        Raises:
            KeyError: there is no such model or alias, or nothing before.
        """
        history = self._history(name, alias)[:-1]
        if not history:
            raise KeyError(f"the alias {alias!r} of the model {name!r} never pointed at another version before")
        self._find(name, history[-1])
        with self.connection.errors():
            self.connection.client.set_registered_model_alias(name, alias, history[-1])
        self._remember(name, alias, history)
        return history[-1]

    def versions(self, name: str) -> Sequence[str]:
        """List the versions, oldest first; empty for an unknown model."""
        quoted = f'"{name}"' if "'" in name else f"'{name}'"
        with self.connection.errors():
            found = self.connection.client.search_model_versions(f"name={quoted}")
        return sorted((str(one.version) for one in found), key=int)

    def aliases(self, name: str) -> Mapping[str, str]:
        """Return the version that each alias points at; empty for an unknown model."""
        try:
            with self._known():
                found = self.connection.client.get_registered_model(name)
        except KeyError:
            return {}
        return {alias: str(version) for alias, version in found.aliases.items()}

    def tags(self, name: str, version: str) -> Mapping[str, str]:
        """Return what a version or alias was registered with.

        Raises:
            KeyError: there is no such model, version or alias.
        """
        return {key: value for key, value in self._find(name, version).tags.items() if key != DIGEST}

    # ---- within MLflow

    def _home(self, name: str, study: str) -> Run:
        """Return the run of the study that the model is of, or one made for the model."""
        client, experiment = self.connection.client, self.connection.experiment()
        if study and "'" not in study:
            found = client.search_runs(
                [experiment], f"tags.`automl.study` = '{study}'", max_results=1, order_by=["attributes.start_time DESC"]
            )
            if found:
                return found[0]
        run = client.create_run(experiment, run_name=f"model {name}", tags=to_tags({"automl.model": name}))
        client.set_terminated(run.info.run_id)
        return run

    def _publish(
        self, path: Path, run: Run, where: str, name: str | None, *, tags: Mapping[str, str] | None = None
    ) -> str | None:
        """Upload a model file to a folder of a run, and return its version where it has a name."""
        with self.connection.errors(), tempfile.TemporaryDirectory() as folder:
            write_model(path, Path(folder))
            self.connection.client.log_artifacts(run.info.run_id, folder, where)
            if name is None:
                return None
            study = read_manifest(path).get("info", {}).get("study")
            lineage = {"study": study, "data": run.data.params.get("settings.data")}
            marks = to_tags({**lineage, **(tags or {}), DIGEST: _digest(path)})
            self._make_model(name)
            source = f"{run.info.artifact_uri.rstrip('/')}/{where}"
            made = self.connection.client.create_model_version(name, source, run_id=run.info.run_id, tags=marks)
            return str(made.version)

    def _make_model(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.connection.client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _find(self, name: str, version: str) -> ModelVersion:
        client = self.connection.client
        with self._known():
            if version.isdigit():
                return client.get_model_version(name, version)
            return client.get_model_version_by_alias(name, version)

    @contextmanager
    def _known(self) -> Iterator[None]:
        try:
            with self.connection.errors():
                yield
        except Refused as error:
            if error.status in (400, 404):
                raise KeyError(str(error)) from None
            raise

    def _history(self, name: str, alias: str) -> list[str]:
        with self._known():
            model = self.connection.client.get_registered_model(name)
        history = json.loads(model.tags.get(HISTORY + alias, "[]"))
        now = model.aliases.get(alias)
        if now is not None and history[-1:] != [str(now)]:  # moved by hand, or by another tool
            history.append(str(now))
        return [str(version) for version in history]

    def _remember(self, name: str, alias: str, history: list[str]) -> None:
        with self.connection.errors():
            self.connection.client.set_registered_model_tag(name, HISTORY + alias, json.dumps(history[-100:]))

    def _fetch(self, uri: str, target: Path, *, digest: str | None = None) -> None:
        """Download a file, and put it in its place whole."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{time.time_ns()}") as folder:
            try:
                with self.connection.errors():
                    from mlflow.artifacts import download_artifacts

                    file = Path(download_artifacts(artifact_uri=uri, dst_path=folder, tracking_uri=self.connection.uri))
            except Refused as error:
                raise DataError(f"there is no model of the engine at {uri}: {error}") from None
            if digest is not None and _digest(file) != digest:
                raise DataError(f"the model at {uri} is not the one that was registered: its checksum differs.")
            if file.parent.resolve() != Path(folder).resolve():  # a local store hands out its own file
                file = Path(shutil.copyfile(file, Path(folder) / "copy"))
            file.replace(target)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
