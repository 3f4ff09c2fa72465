"""The conformance kit: what every plugin of a kind must do, as tests to inherit. Needs `automl-core[testing]`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from automl_core.testing.cache import CacheConformance
    from automl_core.testing.conformance import Conformance
    from automl_core.testing.executor import ExecutorConformance
    from automl_core.testing.learner import LearnerConformance
    from automl_core.testing.located import LocatedConformance
    from automl_core.testing.monitor import MonitorConformance
    from automl_core.testing.plugin import PluginConformance
    from automl_core.testing.search import SearchConformance
    from automl_core.testing.server import ServerConformance
    from automl_core.testing.storage import StorageConformance
    from automl_core.testing.tracker import TrackerConformance

__all__ = [
    "CacheConformance",
    "Conformance",
    "ExecutorConformance",
    "LearnerConformance",
    "LocatedConformance",
    "MonitorConformance",
    "PluginConformance",
    "SearchConformance",
    "ServerConformance",
    "StorageConformance",
    "TrackerConformance",
]

_MODULES = {name: f"{__name__}.{name.removesuffix('Conformance').lower() or 'conformance'}" for name in __all__}

# Before these are imported: a failing check then shows the values it compared.
pytest.register_assert_rewrite(*_MODULES.values(), f"{__name__}.tables")


def __getattr__(name: str) -> Any:
    # Only the suite of learners needs numpy, and that of files pyarrow.
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
