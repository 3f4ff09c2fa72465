"""`automl tracker` and `automl registry`, with trackers that stand for any."""

from __future__ import annotations

import pytest

PLUGIN = """
from automl_core import Provider, Tracker, hookimpl

class Sends(Tracker):
    def start(self, study): ...
    def log(self, trial): ...
    def flush(self):
        return 7, {left}

@hookimpl
def automl_trackers():
    yield Provider("{name}", lambda context: Sends(), "Sends later.")
"""


@pytest.mark.parametrize(("left", "code"), [(0, 0), (2, 1)])
def test_flush_tells_what_was_sent_and_fails_where_something_waits(run, installed, left: int, code: int) -> None:
    name = f"sends{left}"
    installed(name, PLUGIN.format(name=name, left=left))
    result = run("tracker", "flush", AUTOML_TRACKERS=name)
    assert result.exit_code == code
    assert f"{name}: 7 records sent, {left} studies wait" in result.stdout
    assert ("Try again later" in result.stderr) == bool(left)


def test_registry_without_a_tracker_says_what_to_set(run) -> None:
    result = run("registry", "list", "income", AUTOML_TRACKERS="", MLFLOW_TRACKING_URI="")
    assert result.exit_code == 2
    assert "AUTOML_TRACKERS" in result.stderr


def test_tracker_that_keeps_no_models_is_no_registry(run, installed) -> None:
    installed("sends", PLUGIN.format(name="sends", left=0))
    result = run("registry", "list", "income", AUTOML_TRACKERS="sends", MLFLOW_TRACKING_URI="")
    assert result.exit_code == 2
    assert "a tracker that keeps models" in result.stderr
