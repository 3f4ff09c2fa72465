"""The conformance kit: what every plugin of a kind must do, as tests to inherit. Needs `automl-core[testing]`."""

from __future__ import annotations

import pytest

# Before the modules with checks are imported: a failing check then shows the values it compared.
_SUITES = ("cache", "conformance", "executor", "learner", "monitor", "plugin", "search", "server", "storage", "tracker")
pytest.register_assert_rewrite(*(f"{__name__}.{suite}" for suite in _SUITES))

from automl_core.testing.cache import CacheConformance  # noqa: E402
from automl_core.testing.conformance import Conformance  # noqa: E402
from automl_core.testing.executor import ExecutorConformance  # noqa: E402
from automl_core.testing.learner import LearnerConformance  # noqa: E402
from automl_core.testing.monitor import MonitorConformance  # noqa: E402
from automl_core.testing.plugin import PluginConformance  # noqa: E402
from automl_core.testing.search import SearchConformance  # noqa: E402
from automl_core.testing.server import ServerConformance  # noqa: E402
from automl_core.testing.storage import StorageConformance  # noqa: E402
from automl_core.testing.tracker import TrackerConformance  # noqa: E402

__all__ = [
    "CacheConformance",
    "Conformance",
    "ExecutorConformance",
    "LearnerConformance",
    "MonitorConformance",
    "PluginConformance",
    "SearchConformance",
    "ServerConformance",
    "StorageConformance",
    "TrackerConformance",
]
