"""An alert about the model of the settings starts `automl retrain` in a process of its own."""

from __future__ import annotations

import logging
import subprocess
import sys
from threading import Lock
from typing import TYPE_CHECKING

from automl_core import hookimpl

if TYPE_CHECKING:
    from automl_core import Event, PluginSettings

log = logging.getLogger("automl.retrain")
_lock = Lock()
_runs: list[subprocess.Popen[bytes]] = []


@hookimpl
def automl_settings() -> type[PluginSettings]:
    from automl.retrain.settings import RetrainSettings

    return RetrainSettings


@hookimpl
def automl_alert_raised(alert: Event) -> None:
    """Start a run, which decides by itself whether it may; never two at once from this process."""
    from automl.retrain.settings import RetrainSettings
    from automl_core.settings import load_settings, validate_block

    settings = validate_block("retrain", RetrainSettings, load_settings().plugins.get("retrain", {}))
    told = alert.attributes
    if alert.name not in settings.alerts or (settings.name and told.get("model") != settings.name):
        return
    with _lock:
        _runs[:] = [run for run in _runs if run.poll() is None]
        if _runs:
            return
        because = f"{alert.name} of version {told.get('version', '')}"
        command = [sys.executable, "-m", "automl", "retrain", "--because", because]
        log.warning("%s: looking for a better model", because)
        # To stderr, as stdout may be an access log that something reads.
        _runs.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2, start_new_session=True))
