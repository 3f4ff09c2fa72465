"""Every hook of the engine. Providers answer once, when their plugin is activated; events are told as they happen.

Hooks run in the driver process only, in the order of settings, and never in a worker. A hook may take fewer arguments
than it has here. Wrappers are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from automl_core.kinds import Cache, Executor, Learner, Monitor, Search, Server, Storage, Tracker
    from automl_core.providers import Provider
    from automl_core.records import Event, Study, Trial
    from automl_core.settings import PluginSettings

hookspec = pluggy.HookspecMarker("automl")
hookimpl = pluggy.HookimplMarker("automl")


# ---- Providers: cheap, no input or output, no heavy import.


@hookspec
def automl_storages() -> Iterable[Provider[Storage]]:  # type: ignore[empty-body]
    """Yield the storages that this plugin can build."""


@hookspec
def automl_executors() -> Iterable[Provider[Executor]]:  # type: ignore[empty-body]
    """Yield the executors that this plugin can build."""


@hookspec
def automl_searches() -> Iterable[Provider[Search]]:  # type: ignore[empty-body]
    """Yield the searches that this plugin can build."""


@hookspec
def automl_learners() -> Iterable[Provider[Learner]]:  # type: ignore[empty-body]
    """Yield the learners that this plugin can build."""


@hookspec
def automl_trackers() -> Iterable[Provider[Tracker]]:  # type: ignore[empty-body]
    """Yield the trackers that this plugin can build."""


@hookspec
def automl_caches() -> Iterable[Provider[Cache]]:  # type: ignore[empty-body]
    """Yield the caches that this plugin can build."""


@hookspec
def automl_servers() -> Iterable[Provider[Server]]:  # type: ignore[empty-body]
    """Yield the servers that this plugin can build."""


@hookspec
def automl_monitors() -> Iterable[Provider[Monitor]]:  # type: ignore[empty-body]
    """Yield the monitors that this plugin can build."""


@hookspec
def automl_settings() -> type[PluginSettings]:  # type: ignore[empty-body]
    """Return the settings of a plugin that only listens; the `Provider` of what a plugin builds names its own."""


# ---- Events: what they return is ignored; what they raise is logged with the plugin's name.


@hookspec
def automl_study_started(study: Study) -> None:
    """The plan stands and the first trial is about to start."""


@hookspec
def automl_trial_started(study: Study, trial: Trial) -> None:
    """The first fold of a trial was handed to the executor."""


@hookspec
def automl_trial_finished(study: Study, trial: Trial) -> None:
    """A trial is complete, pruned or failed, and is in the journal."""


@hookspec
def automl_study_finished(study: Study, error: BaseException | None) -> None:
    """The study ended, with an error or without."""


@hookspec
def automl_model_saved(study: Study, path: Path) -> None:
    """A model of this study was written to `path`."""


@hookspec
def automl_alert_raised(alert: Event) -> None:
    """A monitor saw something that a person or a retraining policy should act on."""
