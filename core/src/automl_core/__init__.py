"""What can be plugged into the AutoML engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from automl_core.data import BINARY, MULTICLASS, REGRESSION, TASKS, Column, Data, Job, Model
from automl_core.errors import (
    AutoMLError,
    BudgetError,
    ComponentUnavailable,
    DataError,
    PluginError,
    SettingsError,
    did_you_mean,
)
from automl_core.flat import Additive, Arithmetic, Derived, Flat, Forest, Lookup, Network
from automl_core.gangs import FitsTogether, Gangs
from automl_core.hookspecs import hookimpl, hookspec
from automl_core.kinds import Cache, Component, Executor, Learner, Monitor, Search, Server, Storage, Tracker
from automl_core.learners import Candidate, Distributed, Exports, Portable, Portfolio, Resumes, Staged
from automl_core.plugins import Plugins
from automl_core.powers import (
    Batches,
    Drives,
    Evaluate,
    Exposes,
    Fetches,
    Located,
    Lockable,
    Registry,
    Shared,
    Shares,
    Tabular,
)
from automl_core.providers import Context, Provider
from automl_core.records import Event, Fold, Study, Trial, TrialState, decode, encode
from automl_core.space import Choice, Dimension, Float, Int, Params, Scalar, Space, When
from automl_core.unseen import Unseen

if TYPE_CHECKING:
    from automl_core.settings import PluginSettings, Settings

__version__ = "0.1.0"

__all__ = [
    "BINARY",
    "MULTICLASS",
    "REGRESSION",
    "TASKS",
    "Additive",
    "Arithmetic",
    "AutoMLError",
    "Batches",
    "BudgetError",
    "Cache",
    "Candidate",
    "Choice",
    "Column",
    "Component",
    "ComponentUnavailable",
    "Context",
    "Data",
    "DataError",
    "Derived",
    "Dimension",
    "Distributed",
    "Drives",
    "Evaluate",
    "Event",
    "Executor",
    "Exports",
    "Exposes",
    "Fetches",
    "FitsTogether",
    "Flat",
    "Float",
    "Fold",
    "Forest",
    "Gangs",
    "Int",
    "Job",
    "Learner",
    "Located",
    "Lockable",
    "Lookup",
    "Model",
    "Monitor",
    "Network",
    "Params",
    "PluginError",
    "PluginSettings",
    "Plugins",
    "Portable",
    "Portfolio",
    "Provider",
    "Registry",
    "Resumes",
    "Scalar",
    "Search",
    "Server",
    "Settings",
    "SettingsError",
    "Shared",
    "Shares",
    "Space",
    "Staged",
    "Storage",
    "Study",
    "Tabular",
    "Tracker",
    "Trial",
    "TrialState",
    "Unseen",
    "When",
    "decode",
    "did_you_mean",
    "encode",
    "hookimpl",
    "hookspec",
]


def __getattr__(name: str) -> Any:
    # pydantic costs 100 ms and more to import: only what touches settings pays for it.
    if name in ("PluginSettings", "Settings"):
        from automl_core import settings

        return getattr(settings, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
