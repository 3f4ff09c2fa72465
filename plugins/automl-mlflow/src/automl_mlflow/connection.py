"""The way to one MLflow: a client that is made when it is needed, and errors in our words."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from threading import RLock
from traceback import walk_tb
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from automl_core import ComponentUnavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from automl_mlflow.settings import MLflowConfig

__all__ = ["Connection", "Refused", "shown"]

DENIED = frozenset({401, 403})
UNUSABLE = frozenset({400, 404})


class Refused(ComponentUnavailable):
    """MLflow answers, and says no: trying again changes nothing. `status` is that of HTTP, 0 for none."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Connection:
    """Knows the address, the experiment and the credentials; thread-safe, and imports MLflow at the first use only.

    Args:
        directory: of the engine; holds the default store.
    """

    def __init__(self, config: MLflowConfig, directory: str | Path) -> None:
        self.config = config
        self.folder = Path(directory).absolute() / "mlflow"
        self.local = config.tracking_uri is None
        self.uri, self._user = _split_user(config.tracking_uri or f"sqlite:///{self.folder / 'mlflow.db'}")
        # Spools go by address, so that each is sent to where its study was tracked.
        self.spools = self.folder / "spool" / hashlib.sha256(self.shown.encode()).hexdigest()[:8]
        self._lock = RLock()
        self._experiment: str | None = None

    @property
    def shown(self) -> str:
        """The address without a password."""
        return shown(self.uri)

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's own client."""
        with self._lock:
            self.folder.mkdir(parents=True, exist_ok=True)
            _tell_mlflow(self.config, self._user)
            from mlflow import MlflowClient

            # It tells of each new database, in the middle of somebody's progress bar.
            logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
            if self.uri.startswith(("http://", "https://")):
                return MlflowClient(self.uri, self.uri)
            with self._migration.open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # of two that make the tables at once, one would fail
                client = MlflowClient(self.uri, self.uri)
                client.get_experiment_by_name(self.config.experiment_name)
                return client

    @property
    def _migration(self) -> Path:
        """The file that is locked while a database's tables are made: beside it where it is a file."""
        file = Path(self.uri.removeprefix("sqlite:///").partition("?")[0] + ".lock")
        return file if self.uri.startswith("sqlite:///") and file.parent.is_dir() else self.folder / "lock"

    def check(self) -> None:
        """Ask a server whether it is there; a database is asked at its first use.

        Raises:
            ComponentUnavailable: it does not answer in time.
        """
        if not self.uri.startswith(("http://", "https://")):
            return
        # Of MLflow's own client, a server that is down takes minutes: it tries seven times, with growing pauses.
        address = self.uri.rstrip("/") + "/health"
        try:
            with urlopen(Request(address), timeout=self.config.timeout):  # noqa: S310 - http or https, as seen above
                return
        except HTTPError as error:
            if error.code < 500:  # a proxy that wants a password first: it is there
                return
            reason = f"it answers {error.code}"
        except OSError as error:
            reason = str(getattr(error, "reason", error))
        raise ComponentUnavailable(
            f"MLflow at {self.shown} does not answer ({reason}). Start it, or set plugins.mlflow.tracking_uri."
        )

    def experiment(self) -> str:
        """Return the id of the experiment, which is made if there is none of the name.

        Raises:
            Refused: the experiment was deleted, or access is denied. ComponentUnavailable: MLflow does not answer.
        """
        with self._lock:
            if self._experiment is None:
                with self.errors():
                    self._experiment = self._find_experiment()
            return self._experiment

    def _find_experiment(self) -> str:
        name = self.config.experiment_name
        found = self.client.get_experiment_by_name(name)
        if found is None:
            location = self.config.artifact_location
            if location is None and self.local:
                location = (self.folder / "artifacts").as_uri()
            try:
                return str(self.client.create_experiment(name, artifact_location=location))
            except Exception:
                found = self.client.get_experiment_by_name(name)  # two studies that start at once
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            raise Refused(
                f"the experiment {name!r} of MLflow at {self.shown} was deleted. Restore it with `mlflow experiments "
                f"restore --experiment-id {found.experiment_id}`, or set plugins.mlflow.experiment_name."
            )
        return str(found.experiment_id)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise what MLflow raises within as one of our errors, without any secret.

        Raises:
            Refused: it says no. ComponentUnavailable: it does not answer, or fails.
        """
        self.check()
        try:
            yield
        except ComponentUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - MLflow raises of many libraries
            raise self._translate(error) from None  # the cause may quote the address with its password

    def _translate(self, error: Exception) -> ComponentUnavailable:
        status = _status(error)
        reason = self._without_secrets(str(getattr(error, "message", error)))
        if status in DENIED:
            return Refused(
                f"MLflow at {self.shown} denies access ({status}). Set plugins.mlflow.token, or username and password.",
                status,
            )
        if status in UNUSABLE:
            return Refused(f"MLflow at {self.shown} refuses ({status}): {reason}", status)
        if isinstance(error, ImportError):
            return Refused(f"MLflow at {self.shown} needs a package that is not installed: {error}")
        return ComponentUnavailable(f"MLflow at {self.shown} fails: {type(error).__name__}: {reason}")

    def _without_secrets(self, text: str) -> str:
        text = shown(text)
        for secret in (self.config.token, self.config.password):
            if secret is not None and secret.get_secret_value():
                text = text.replace(secret.get_secret_value(), "***")
        return text[:500]


def shown(text: str) -> str:
    """Return text without the user and password of any address in it."""
    return re.sub(r"//[^/@\s]+@", "//", text)


def _status(error: Exception) -> int | None:
    """Return the HTTP status that an error of MLflow stands for; None for any other error."""
    response = getattr(error, "response", None)
    if response is not None and isinstance(getattr(response, "status_code", None), int):
        return int(response.status_code)
    if told := re.search(r"error code (\d{3})", str(error)):
        return int(told[1])
    code = getattr(error, "get_http_status_code", None)
    return None if code is None else _answered(error) or int(code())


def _answered(error: Exception) -> int | None:
    """Return the HTTP status of the answer that an error of MLflow is about; None of one that is about no answer.

    Where the body is JSON, MLflow 3.17 keeps what it says but not the status (mlflow/utils/rest_utils.py, verify_rest_response):
    of what is not from MLflow but from a proxy before it, such as 401, it makes 500. The function that raised still has it.
    """
    for frame, _ in walk_tb(error.__traceback__):
        status = getattr(frame.f_locals.get("response"), "status_code", None)
        if isinstance(status, int):
            return status
    return None


def _split_user(uri: str) -> tuple[str, tuple[str, str] | None]:
    """Return a server's address without user and password, and those; a database keeps them in its address."""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or parts.username is None:
        return uri, None
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return bare, (unquote(parts.username), unquote(parts.password or ""))


def _tell_mlflow(config: MLflowConfig, user: tuple[str, str] | None) -> None:
    """Set what MLflow takes from the environment alone: credentials, and what it shall keep to itself.

    It prints the address of each run that ends to stdout, which may belong to somebody's JSON.
    """
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    if "mlflow" not in sys.modules:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    if user is not None:
        os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"] = user
    if config.token is not None:
        os.environ["MLFLOW_TRACKING_TOKEN"] = config.token.get_secret_value()
    if config.username is not None:
        os.environ["MLFLOW_TRACKING_USERNAME"] = config.username
    if config.password is not None:
        os.environ["MLFLOW_TRACKING_PASSWORD"] = config.password.get_secret_value()
