"""Folders in which the monitors of several workers meet."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automl_core import Settings

__all__ = ["meeting_places"]

COUNTS = "PROMETHEUS_MULTIPROC_DIR"  # read by prometheus_client when it is imported


@contextmanager
def meeting_places(settings: Settings) -> Iterator[Settings]:
    """Give monitors that need it a folder where workers put together what each of them saw.

    Counts of requests start anew with the server; what is known of drift and scores outlives it. What the user chose
    stays as it is.
    """
    drift: dict[str, Any] = settings.plugins.get("drift", {})
    if "drift" in settings.monitors and not drift.get("directory"):
        block = {**drift, "directory": str(Path(settings.directory, "drift").absolute())}
        settings = settings.model_copy(update={"plugins": {**settings.plugins, "drift": block}})
    if "prometheus" not in settings.monitors or os.environ.get(COUNTS):
        yield settings
        return
    with tempfile.TemporaryDirectory(prefix="automl-metrics-") as folder:
        os.environ[COUNTS] = folder
        try:
            yield settings
        finally:
            del os.environ[COUNTS]
