"""Optuna's samplers by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from importlib.util import find_spec

import optuna
from optuna.samplers import BaseSampler

from automl_core import SettingsError

__all__ = ["check_sampler", "make_sampler"]

NEEDS = {"tpe": (), "random": (), "cmaes": ("cmaes",), "gp": ("torch", "scipy")}


def check_sampler(name: str) -> None:
    """Raise SettingsError where a sampler's own library is not installed."""
    missing = [package for package in NEEDS[name] if find_spec(package) is None]
    if missing:
        raise SettingsError(
            f"plugins.optuna.sampler = {name!r} needs {' and '.join(missing)}. "
            f"Install it with: pip install 'automl-optuna[{name}]'"
        )


def make_sampler(name: str, *, seed: int, startup: int) -> BaseSampler:
    """Make a seeded sampler that proposes at random until it knows `startup` results."""
    makers: Mapping[str, Callable[[], BaseSampler]] = {
        # Groups keep parameters that are active together in one model, where conditions or partial prior knowledge
        # leave no parameter that all trials have.
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup, multivariate=True, group=True),
        "random": lambda: optuna.samplers.RandomSampler(seed=seed),
        "cmaes": lambda: optuna.samplers.CmaEsSampler(
            seed=seed, n_startup_trials=startup, warn_independent_sampling=False
        ),
        "gp": lambda: optuna.samplers.GPSampler(seed=seed, n_startup_trials=startup, warn_independent_sampling=False),
    }
    with warnings.catch_warnings():
        # `group` has been experimental since 2.8; the range of versions that we require pins what it does.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return makers[name]()
