from __future__ import annotations

import json
from pathlib import Path

SECRETIVE = """
from pydantic import SecretStr
from automl_core import PluginSettings, Provider, hookimpl

class VaultSettings(PluginSettings):
    address: str = ""
    password: SecretStr

@hookimpl
def automl_caches():
    yield Provider("vault", lambda context: None, "Keeps secrets.", settings=lambda: VaultSettings)
"""


def shown(run, **environment: str) -> dict[str, dict[str, object]]:
    result = run("settings", "--json", **environment)
    assert result.exit_code == 0, result.stderr
    found: dict[str, dict[str, object]] = json.loads(result.stdout)
    return found


def test_default_is_told_as_such(run) -> None:
    assert shown(run)["search"] == {"value": "optuna", "origin": "default"}


def test_environment_is_told_as_such(run) -> None:
    assert shown(run, AUTOML_EXECUTOR="serial")["executor"] == {"value": "serial", "origin": "environment"}


def test_file_is_named(run) -> None:
    Path("automl.toml").write_text('search = "random"\n')
    assert shown(run)["search"] == {"value": "random", "origin": "automl.toml"}


def test_table_lists_words_with_commas(run) -> None:
    result = run("settings", AUTOML_LEARNERS="lightgbm,catboost")
    (line,) = (line for line in result.stdout.splitlines() if line.startswith("learners"))
    assert line.split() == ["learners", "lightgbm,catboost", "environment"]


def test_secret_is_hidden_and_the_rest_is_shown(run, installed) -> None:
    installed("vault", SECRETIVE)
    block = {"AUTOML_PLUGINS__VAULT__PASSWORD": "hunter2", "AUTOML_PLUGINS__VAULT__ADDRESS": "vault.example"}
    found = shown(run, **block)
    assert found["plugins.vault.address"] == {"value": "vault.example", "origin": "environment"}
    assert "hunter2" not in json.dumps(found)


def test_password_in_an_address_is_hidden(run, installed) -> None:
    installed("vault", SECRETIVE)
    found = shown(run, AUTOML_PLUGINS__VAULT__ADDRESS="scheme://user:hunter2@vault.example:1")
    assert found["plugins.vault.address"]["value"] == "scheme://user:**********@vault.example:1"


def test_settings_of_a_plugin_that_is_not_there_are_hidden(run) -> None:
    assert "hunter2" not in run("settings", AUTOML_PLUGINS__ABSENT__TOKEN="hunter2").stdout
