"""`automl doctor`: each line by itself; the services that it asks are real in tests/test_deploy_stack.py of the workspace."""

from __future__ import annotations

import json
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from automl import AutoML
from automl_core.settings import load_settings

LIGHT = {"AUTOML_LEARNERS": "sklearn.linear", "AUTOML_SEARCH": "random", "AUTOML_EXECUTOR": "serial"}
JOURNAL = {"AUTOML_TRACKERS": "journal"}
SECRETIVE = """
from automl_core import PluginSettings, Provider, hookimpl
from pydantic import SecretStr

class Secretive(PluginSettings):
    token: SecretStr | None = None

@hookimpl
def automl_caches():
    yield Provider("secretive", lambda context: None, "A cache.", settings=lambda: Secretive)
"""
FORGETFUL = """
from automl_core import Cache, Provider, hookimpl

class Forgetful(Cache):
    def get(self, key):
        return None
    def set(self, key, value, *, ttl=None):
        pass
    def delete(self, key):
        pass

@hookimpl
def automl_caches():
    yield Provider("forgetful", lambda context: Forgetful(), "Keeps nothing.")
"""
FULL_OF_FINDINGS = """
from automl_core import Monitor, Provider, hookimpl
from automl_core.diagnosis import WARNING, Finding

class Watch(Monitor):
    def emit(self, event):
        pass
    def diagnose(self):
        yield Finding("watch", WARNING, "it is late", "Wind it up.")

@hookimpl
def automl_monitors():
    yield Provider("watch", lambda context: Watch(), "Watches.")
"""


def diagnose(run: Any, *arguments: str, **environment: str) -> tuple[int, dict[str, dict[str, str]]]:
    result = run("doctor", "--json", *arguments, **{**LIGHT, **environment})
    assert result.exit_code in (0, 1), result.output
    told = json.loads(result.stdout)
    assert sum(told["counts"].values()) == len(told["findings"])
    return result.exit_code, {finding["check"]: finding for finding in told["findings"]}


def test_healthy_machine_passes(run) -> None:
    code, found = diagnose(run)
    assert code == 0
    assert found["storage file"]["state"] == "ok"
    assert found["executor serial"]["state"] == "ok"
    assert found["Ray cluster"]["state"] == "not configured"


def test_table_ends_with_the_counts(run) -> None:
    result = run("doctor", "--for", "training", **LIGHT)
    assert "executor is serial" in result.stdout
    assert " not configured, " in result.stdout.splitlines()[-1]


def test_doubt_fails_where_it_is_strict(run) -> None:
    assert run("doctor", "--for", "training", "--strict", **LIGHT).exit_code == 1


def test_missing_plugin_is_one_failed_line(run) -> None:
    code, found = diagnose(run, AUTOML_CACHE="nowhere")
    assert code == 1
    assert "not installed" in found["cache nowhere"]["said"]
    assert [name for name, line in found.items() if line["state"] == "failed"] == ["cache nowhere"]


@pytest.mark.parametrize(
    ("field", "plugin", "failed"),
    [
        ("TRACKERS", "mlflow", {"tracker mlflow", "MLflow"}),
        ("EXECUTOR", "dask", {"executor dask", "Dask cluster"}),
        ("CACHE", "redis", {"cache redis"}),
    ],
)
def test_lines_of_a_component_that_cannot_be_built_fail(run, field: str, plugin: str, failed: set[str]) -> None:
    told = {f"AUTOML_{field}": plugin, f"AUTOML_PLUGINS__{plugin.upper()}__NO_SUCH_SETTING": "1"}
    code, found = diagnose(run, **told)
    assert code == 1
    assert {name for name, line in found.items() if line["state"] == "failed"} == failed


def test_wrong_settings_are_wrong_usage(run) -> None:
    assert run("doctor", AUTOML_EXECUTORS="serial").exit_code == 2


def test_folder_that_cannot_be_written_fails(run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    code, found = diagnose(run, "--for", "training", AUTOML_DIRECTORY=str(tmp_path / "file"))
    assert code == 1
    assert found["storage file"]["state"] == "failed"


def test_cache_that_keeps_nothing_fails(run, installed) -> None:
    installed("forgetful", FORGETFUL)
    code, found = diagnose(run, "--for", "serving", AUTOML_CACHE="forgetful")
    assert code == 1
    assert found["cache forgetful"]["state"] == "failed"


def test_component_tells_what_it_knows_of_itself(run, installed) -> None:
    installed("watch", FULL_OF_FINDINGS)
    code, found = diagnose(run, "--for", "serving", AUTOML_MONITORS="watch")
    assert code == 0
    assert found["watch"] == {"check": "watch", "state": "warning", "said": "it is late", "remedy": "Wind it up."}


def test_secret_in_the_environment_is_named_and_not_shown(run, installed) -> None:
    installed("secretive", SECRETIVE)
    result = run("doctor", "--for", "serving", "--json", AUTOML_PLUGINS__SECRETIVE__TOKEN="hunter2")
    found = {finding["check"]: finding for finding in json.loads(result.stdout)["findings"]}
    assert found["secrets"]["state"] == "warning"
    assert "plugins.secretive.token" in found["secrets"]["said"]
    assert "hunter2" not in result.output


@pytest.mark.parametrize(("mode", "state"), [(0o644, "failed"), (0o600, "ok")])
def test_secret_that_others_may_read_fails(run, installed, tmp_path: Path, mode: int, state: str) -> None:
    installed("secretive", SECRETIVE)
    config = tmp_path / "automl.toml"
    config.write_text('[plugins.secretive]\ntoken = "hunter2"\n')
    config.chmod(mode)
    assert diagnose(run, "--for", "serving")[1]["secrets"]["state"] == state


def test_damaged_model_fails(run, tmp_path: Path) -> None:
    (tmp_path / "m.automl").write_bytes(b"no model")
    code, found = diagnose(run, "m.automl", "--for", "serving")
    assert code == 1
    assert found["model"]["state"] == "failed"


def test_port_that_is_taken_is_a_doubt(run) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert diagnose(run, "--for", "serving", AUTOML_PORT=port)[1]["port"]["state"] == "warning"


def test_server_in_the_open_needs_keys_and_encryption(run) -> None:
    found = diagnose(run, "--for", "serving", AUTOML_HOST="0.0.0.0")[1]
    assert (found["API keys"]["state"], found["TLS"]["state"]) == ("warning", "warning")


@pytest.mark.parametrize("option", ["--url", "--prometheus"])
def test_service_that_is_down_is_a_failed_line(run, option: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"  # bound, and nobody listens
        code, found = diagnose(run, "--for", "serving", option, address)
    assert code == 1
    lines = ["server", "models"] if option == "--url" else ["scrape", "SLA monitoring", "alert route"]
    assert {found[line]["state"] for line in lines} == {"failed"}
    assert all(address in found[line]["said"] for line in lines)


def test_address_without_a_scheme_is_told_so(run) -> None:
    assert "http://" in diagnose(run, "--for", "serving", "--url", "localhost:8000")[1]["server"]["said"]


def test_machine_that_serves_needs_no_learners(run) -> None:
    found = diagnose(run, "--for", "serving", AUTOML_LEARNERS="nowhere")[1]
    assert "learner nowhere" not in found


@pytest.fixture
def saved(run, tmp_path: Path) -> Path:
    """A folder with a backup of a registry that has a champion."""
    settings = load_settings(learners="sklearn.linear", search="random", executor="serial")
    data = {"x": list(range(60)), "y": list(range(0, 120, 2))}
    AutoML(max_trials=1, time_limit=None, folds=2, n_jobs=1, settings=settings).fit(data, target="y").save("m.automl")
    (tmp_path / "backups").mkdir()
    for words in (("registry", "add", "m", "m.automl", "--alias", "champion"), ("backup", "backups/b.tar")):
        result = run(*words, **LIGHT, **JOURNAL)
        assert result.exit_code == 0, result.output
    return tmp_path / "backups"


def test_backup_is_restored_as_a_drill_and_its_champion_loads(run, saved: Path) -> None:
    asked = ("models:/m@champion", "--for", "serving", "--backup")
    for place in (saved, saved / "b.tar"):
        found = diagnose(run, *asked, str(place), **JOURNAL)[1]["backup"]
        assert found["state"] == "ok"
        assert "models:/m@champion loads from them; it is 0 hours old" in found["said"]
    found = diagnose(run, "models:/m@challenger", *asked[1:], str(saved), **JOURNAL)[1]["backup"]
    assert (found["state"], "challenger" in found["said"]) == ("failed", True)


def test_old_backup_is_a_doubt_and_a_damaged_one_fails(run, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("automl.doctor.recovery.OLD", timedelta(0))
    assert diagnose(run, "--for", "serving", "--backup", str(saved))[1]["backup"]["state"] == "warning"
    (saved / "b.tar").write_bytes((saved / "b.tar").read_bytes()[:5000])
    code, found = diagnose(run, "--for", "serving", "--backup", str(saved))
    assert (code, found["backup"]["state"]) == (1, "failed")


def test_backup_that_is_not_there_fails_and_none_named_is_not_configured(run, tmp_path: Path) -> None:
    assert diagnose(run, "--for", "serving", "--backup", str(tmp_path / "none"))[1]["backup"]["state"] == "failed"
    assert diagnose(run, "--for", "serving")[1]["backup"]["state"] == "not configured"


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ({}, "not configured"),
        ({"AUTOML_LISTENERS": "retrain"}, "warning"),
        ({"AUTOML_LISTENERS": "retrain", "AUTOML_PLUGINS__RETRAIN__LEDGER": "nowhere.sqlite"}, "warning"),
        ({"AUTOML_LISTENERS": "retrain", "AUTOML_PLUGINS__RETRAIN__LEDGER": "rows.sqlite"}, "ok"),
        ({"AUTOML_LISTENERS": "retrain", "AUTOML_PLUGINS__RETRAIN__RECENT": "s3://bucket/labelled"}, "ok"),
    ],
)
def test_retraining_by_alerts_counts_as_retraining(run, tmp_path: Path, told: dict[str, str], state: str) -> None:
    (tmp_path / "rows.sqlite").touch()
    assert diagnose(run, "--for", "training", **told)[1]["retraining"]["state"] == state
