from __future__ import annotations

import json

import pytest

BROKEN = "import a_library_that_is_not_there"
GOOD = """
from automl_core import Executor, PluginSettings, Provider, hookimpl

class GoodSettings(PluginSettings):
    address: str = "auto"
    workers: int

@hookimpl
def automl_executors():
    yield Provider("good", lambda context: None, "Runs trials well.", settings=lambda: GoodSettings)

@hookimpl
def automl_trial_finished(trial):
    pass
"""


def row(stdout: str, name: str) -> list[str]:
    return next(line.split() for line in stdout.splitlines() if line.split()[0] == name)


def test_table_has_a_row_per_plugin(run, installed) -> None:
    installed("good", GOOD)
    result = run("plugins")
    assert result.stdout.splitlines()[0].split() == ["name", "distribution", "version", "status", "reason"]
    assert row(result.stdout, "good") == ["good", "acme-good", "1.2", "available"]


def test_broken_plugin_does_not_stop_the_table(run, installed) -> None:
    installed("broken", BROKEN)
    installed("good", GOOD)
    result = run("plugins")
    assert result.exit_code == 0
    assert row(result.stdout, "broken")[:3] == ["broken", "acme-broken", "1.2"]


def test_disabled_plugin_says_why(run, installed) -> None:
    installed("good", GOOD)
    result = run("plugins", AUTOML_PLUGINS_DISABLED="good")
    assert row(result.stdout, "good")[3] == "disabled"
    assert "plugins_disabled" in row(result.stdout, "good")


def test_json_holds_the_same(run, installed) -> None:
    installed("good", GOOD)
    found = {info["name"]: info for info in json.loads(run("plugins", "--json").stdout)}
    assert found["good"] == {
        "name": "good", "distribution": "acme-good", "version": "1.2", "status": "available", "reason": "",
    }  # fmt: skip


def test_named_plugin_tells_what_it_provides(run, installed) -> None:
    installed("good", GOOD)
    out = run("plugins", "good").stdout
    assert "executor  good  Runs trials well." in out
    assert "hooks: automl_executors, automl_trial_finished" in out


def test_named_plugin_tells_its_settings(run, installed) -> None:
    installed("good", GOOD)
    (provided,) = json.loads(run("plugins", "good", "--json").stdout)["provides"]
    assert [(item["setting"], item["variable"], item["default"]) for item in provided["settings"]] == [
        ("plugins.good.address", "AUTOML_PLUGINS__GOOD__ADDRESS", "auto"),
        ("plugins.good.workers", "AUTOML_PLUGINS__GOOD__WORKERS", "required"),
    ]


def test_plugin_that_only_listens_tells_its_settings(run) -> None:
    out = run("plugins", "retrain").stdout
    assert "listener  retrain  An alert about the model" in out
    assert "AUTOML_PLUGINS__RETRAIN__COOLDOWN" in out


@pytest.mark.parametrize(("name", "what"), [("broken", "acme-broken 1.2"), ("brokn", "Did you mean 'broken'?")])
def test_plugin_that_cannot_be_had_fails_with_its_reason(run, installed, name: str, what: str) -> None:
    installed("broken", BROKEN)
    result = run("plugins", name)
    assert result.exit_code == 1
    assert what in result.stderr
