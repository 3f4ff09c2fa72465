"""What an engine was asked for: whether it can be had, and how many threads that is."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from automl_core import SettingsError

if TYPE_CHECKING:
    from automl.engine import AutoML

__all__ = ["ARGUMENTS", "check_arguments", "count_threads"]

QUALITIES = ("fast", "balanced", "best")
# What a model remembers of how it was asked for.
ARGUMENTS = ("time_limit", "metric", "task", "seed", "quality", "max_trials", "predict_time_limit", "folds", "monotone")
NUMBERS = ("time_limit", "predict_time_limit", "memory_limit")  # above 0, or None
LEAST = {"max_trials": 1, "folds": 1, "seed": 0, "held_out_rows": 0}  # of whole numbers


def check_arguments(engine: AutoML) -> None:
    """Raise what is wrong with the arguments of an engine.

    Raises:
        SettingsError: one of them is out of its range or of another type, or a limit is missing.
    """
    if engine.quality not in QUALITIES:
        raise SettingsError(f"quality is {engine.quality!r}; it must be one of {', '.join(QUALITIES)}.")
    if engine.time_limit is None and engine.max_trials is None:
        raise SettingsError("without a time_limit, max_trials must say how many configurations to fit.")
    for name in NUMBERS:
        value = getattr(engine, name)
        if value is not None and not (isinstance(value, Real) and float(value) > 0):
            raise SettingsError(f"{name} is {value!r}; it must be a number greater than 0.")
    for name, least in LEAST.items():
        value = getattr(engine, name)
        if value is None and name in ("max_trials", "folds"):
            continue
        if not isinstance(value, Integral) or value < least:
            raise SettingsError(f"{name} is {value!r}; it must be a whole number of at least {least}.")
    for name, (kind, words) in _kinds().items():
        value = getattr(engine, name)
        if not isinstance(value, kind) and (value is not None or name == "listeners"):
            raise SettingsError(f"{name} is of the type {type(value).__name__}; it must be {words}.")
    for name in ("metric", "task"):
        value = getattr(engine, name)
        if not (value is None or isinstance(value, str | Mapping) or (name == "metric" and callable(value))):
            raise SettingsError(f"{name} is {value!r}; see help(AutoML) for what it may be.")


def _kinds() -> Mapping[str, tuple[type, str]]:
    from automl_core import Search, Settings  # half of the time that an import of automl would take

    return {
        "settings": (Settings, "what automl_core.settings.load_settings returns"),
        "monotone": (Mapping, "a dict of 1 or -1 by the name of a column"),
        "storage": (str, "a name, or a URI of a folder"),
        "optimizer": (Search, "a search, a subclass of automl_core.Search; a name goes into settings.search"),
        "listeners": (Sequence, "a list of objects with hooks"),
    }


def count_threads(n_jobs: Any) -> int:
    """Return the threads that `n_jobs` asks for; None and -1 ask for all cores.

    Raises:
        SettingsError: it is neither that nor at least 1.
    """
    if n_jobs is None or n_jobs == -1:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not isinstance(n_jobs, Integral) or n_jobs < 1:
        raise SettingsError(f"n_jobs is {n_jobs!r}; it must be at least 1, or -1 for all cores.")
    return int(n_jobs)
