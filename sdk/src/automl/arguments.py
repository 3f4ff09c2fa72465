"""What an engine was asked for: whether it can be had, and how many threads that is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from automl_core import SettingsError

if TYPE_CHECKING:
    from automl.engine import AutoML

__all__ = ["ARGUMENTS", "check_arguments", "count_threads"]

QUALITIES = ("fast", "balanced", "best")
# What a model remembers of how it was asked for.
ARGUMENTS = ("time_limit", "metric", "task", "seed", "quality", "max_trials", "predict_time_limit", "folds", "monotone")


def check_arguments(engine: AutoML) -> None:
    """Raise what is wrong with the arguments of an engine.

    Raises:
        SettingsError: one of them is out of its range, or a limit is missing.
    """
    if engine.quality not in QUALITIES:
        raise SettingsError(f"quality is {engine.quality!r}; it must be one of {', '.join(QUALITIES)}.")
    if engine.time_limit is None and engine.max_trials is None:
        raise SettingsError("without a time_limit, max_trials must say how many configurations to fit.")
    if engine.held_out_rows < 0:
        raise SettingsError(f"held_out_rows is {engine.held_out_rows!r}; it must be a number of rows, or 0 for none.")
    for name in ("time_limit", "max_trials", "predict_time_limit", "folds", "memory_limit"):
        value = getattr(engine, name)
        if value is not None and not value > 0:
            raise SettingsError(f"{name} is {value!r}; it must be greater than 0.")


def count_threads(n_jobs: int | None) -> int:
    """Return the threads that `n_jobs` asks for; None and -1 ask for all cores.

    Raises:
        SettingsError: it is neither that nor at least 1.
    """
    if n_jobs is None or n_jobs == -1:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if n_jobs < 1:
        raise SettingsError(f"n_jobs is {n_jobs}; it must be at least 1, or -1 for all cores.")
    return n_jobs
