from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from pydantic import Field, SecretStr

from automl_core import Context, PluginSettings, Settings, SettingsError
from automl_core.settings import RESERVED, load_settings, origins


class Service(PluginSettings):
    host: str = Field(default="localhost", description="Where it is.")
    port: int = Field(default=6379, description="Its port.")
    password: SecretStr | None = Field(default=None, description="Its password.")
    nodes: tuple[str, ...] = Field(default=(), description="Several hosts.")
    options: dict[str, int] = Field(default_factory=dict, description="More.")
    secure: bool = Field(default=False, description="Whether to encrypt.")


def block(settings: Settings) -> Service:
    return Context("service", settings.plugins.get("service", {})).settings(Service)


def set_source(monkeypatch: pytest.MonkeyPatch, source: str, value: str) -> None:
    if source == "environment":
        monkeypatch.setenv("AUTOML_EXECUTOR", value)
    elif source == ".env":
        Path(".env").write_text(f"AUTOML_EXECUTOR={value}\nOTHER=x\n")
    elif source == "secrets":
        Path("secrets").mkdir()
        Path("secrets/AUTOML_EXECUTOR").write_text(value + "\n")
        monkeypatch.setenv("AUTOML_SECRETS_DIR", "secrets")
    else:
        Path("automl.toml").write_text(f'executor = "{value}"\n')


SOURCES = ["environment", ".env", "secrets", "automl.toml"]


@pytest.mark.parametrize("source", SOURCES)
def test_each_source_is_read_and_named(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    set_source(monkeypatch, source, "there")
    settings = Settings()
    assert settings.executor == "there"
    assert origins(settings)["executor"] == source


@pytest.mark.parametrize("strong", range(3))
def test_stronger_source_wins(monkeypatch: pytest.MonkeyPatch, strong: int) -> None:
    for source in SOURCES[strong:]:
        set_source(monkeypatch, source, f"from-{source}")
    assert Settings().executor == f"from-{SOURCES[strong]}"


def test_code_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    set_source(monkeypatch, "environment", "there")
    settings = Settings(executor="here")
    assert settings.executor == "here"
    assert origins(settings, {"executor": "here"})["executor"] == "code"


def test_default_says_so() -> None:
    settings = Settings()
    assert set(origins(settings).values()) == {"default"}
    assert (settings.storage, settings.executor, settings.cache) == ("file", "threads", "memory")


def test_config_file_is_where_the_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("other.toml").write_text('learners = ["ridge"]\n')
    monkeypatch.setenv("AUTOML_CONFIG", "other.toml")
    assert Settings().learners == ("ridge",)
    assert origins(Settings())["learners"] == "other.toml"


@pytest.mark.parametrize("text", ["mlflow,journal", " mlflow , journal,", "mlflow,,journal"])
def test_words_are_split_at_commas(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("AUTOML_TRACKERS", text)
    assert Settings().trackers == ("mlflow", "journal")


@pytest.mark.parametrize(("text", "value"), [("1", True), ("true", True), ("0", False), ("no", False)])
def test_switch_takes_the_usual_words(monkeypatch: pytest.MonkeyPatch, text: str, value: bool) -> None:
    monkeypatch.setenv("AUTOML_STRICT", text)
    assert Settings().strict is value


# ---- blocks of plugins


def test_block_is_merged_over_the_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("automl.toml").write_text('[plugins.service]\nhost = "file"\nport = 1\n[plugins.service.options]\na = 1\n')
    monkeypatch.setenv("AUTOML_PLUGINS__SERVICE__PORT", "2")
    monkeypatch.setenv("AUTOML_PLUGINS__SERVICE__OPTIONS__B", "3")
    settings = Settings(plugins={"service": {"secure": True}})
    assert block(settings) == Service(host="file", port=2, options={"a": 1, "b": 3}, secure=True)


def test_origin_of_each_setting_of_a_plugin_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("automl.toml").write_text('[plugins.service]\nhost = "file"\nport = 1\n')
    monkeypatch.setenv("AUTOML_PLUGINS__SERVICE__PORT", "2")
    found = origins(Settings())
    assert (found["plugins.service.host"], found["plugins.service.port"]) == ("automl.toml", "environment")


@pytest.mark.parametrize("password", ["12345", "1e5", "true", "null", "007", '"quoted"', "[1]", "a,b"])
def test_password_stays_as_it_was_typed(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    monkeypatch.setenv("AUTOML_PLUGINS__SERVICE__PASSWORD", password)
    secret = block(Settings()).password
    assert secret is not None
    assert secret.get_secret_value() == password


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("NODES", "a:1,b:2", ("a:1", "b:2")),
        ("NODES", '["a", "b,c"]', ("a", "b,c")),
        ("OPTIONS", '{"a": 1}', {"a": 1}),
        ("SECURE", "yes", True),
    ],
)
def test_text_becomes_what_the_field_needs(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object
) -> None:
    monkeypatch.setenv(f"AUTOML_PLUGINS__SERVICE__{name}", text)
    assert getattr(block(Settings()), name.lower()) == value


@pytest.mark.parametrize("source", ["environment", ".env", "secrets"])
def test_plain_names_of_the_guide_work(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    if source == "environment":
        monkeypatch.setenv("REDIS_HOST", "cache")
    elif source == ".env":
        Path(".env").write_text("REDIS_HOST=cache\n")
    else:
        Path("secrets").mkdir()
        Path("secrets/redis_host").write_text("cache\n")
        monkeypatch.setenv("AUTOML_SECRETS_DIR", "secrets")
    assert Settings().plugins == {"redis": {"host": "cache"}}


def test_own_name_comes_over_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_HOST", "plain")
    monkeypatch.setenv("AUTOML_PLUGINS__REDIS__HOST", "own")
    assert Settings().plugins["redis"]["host"] == "own"


# ---- errors


@pytest.mark.parametrize("source", ["environment", ".env", "secrets"])
def test_mistyped_variable_is_an_error(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    if source == "environment":
        monkeypatch.setenv("AUTOML_EXECUTER", "ray")
    elif source == ".env":
        Path(".env").write_text("AUTOML_EXECUTER=ray\n")
    else:
        Path("secrets").mkdir()
        Path("secrets/AUTOML_EXECUTER").write_text("ray")
        monkeypatch.setenv("AUTOML_SECRETS_DIR", "secrets")
    place = "the environment" if source == "environment" else source
    with pytest.raises(
        SettingsError, match=f"unknown setting AUTOML_EXECUTER in {place}. Did you mean 'AUTOML_EXECUTOR'"
    ):
        Settings()


@pytest.mark.parametrize("name", [*sorted(RESERVED - {"AUTOML_CONFIG", "AUTOML_SECRETS_DIR"}), "AUTOML_SERVER_TIMEOUT"])
def test_variable_of_another_reader_is_left_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    assert Settings() == Settings()


@pytest.mark.parametrize(
    "name", ["AUTOML_PLUGINS", "AUTOML_PLUGINS__RAY", "AUTOML_PLUGINS__RAY__", "AUTOML_PLUGINS_RAY_A"]
)
def test_incomplete_name_of_a_plugins_setting_is_explained(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(SettingsError, match=f"unknown setting {name} .*AUTOML_PLUGINS__NAME__KEY"):
        Settings()


@pytest.mark.parametrize("names", [("A", "A__B"), ("A__B", "A")])
def test_whole_and_part_contradict(monkeypatch: pytest.MonkeyPatch, names: tuple[str, str]) -> None:
    for name in names:
        monkeypatch.setenv(f"AUTOML_PLUGINS__RAY__{name}", "x")
    with pytest.raises(SettingsError, match="contradicts another variable"):
        Settings()


def test_unknown_keyword_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"unknown setting\. Did you mean 'executor'"):
        load_settings(executer="ray")


def test_unknown_name_in_the_file_is_an_error() -> None:
    Path("automl.toml").write_text('executer = "ray"\n')
    with pytest.raises(SettingsError, match=r"unknown setting 'executer' in automl\.toml\. Did you mean 'executor'"):
        Settings()


def test_unreadable_file_is_an_error() -> None:
    Path("automl.toml").write_text("executor = \n")
    with pytest.raises(SettingsError, match=r"automl\.toml is no valid TOML"):
        Settings()


@pytest.mark.parametrize("name", ["AUTOML_CONFIG", "AUTOML_SECRETS_DIR"])
def test_place_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "nowhere")
    with pytest.raises(SettingsError, match=f"{name} names 'nowhere'"):
        Settings()


def test_secret_that_cannot_be_read_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("secrets").mkdir()
    Path("secrets/AUTOML_EXECUTOR").write_bytes(b"\xff\xfe")
    monkeypatch.setenv("AUTOML_SECRETS_DIR", "secrets")
    with pytest.raises(SettingsError, match="a secret in secrets cannot be read"):
        Settings()


@pytest.mark.parametrize(("name", "value"), [("AUTOML_EXECUTOR", ""), ("AUTOML_STRICT", "perhaps")])
def test_wrong_value_names_the_setting_both_ways(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=rf"{name.removeprefix('AUTOML_').lower()} \({name}\): "):
        Settings()


def test_error_in_a_block_names_the_setting_and_hides_the_value() -> None:
    settings = Settings(plugins={"service": {"port": "hunter2", "pasword": "hunter2", "nodes": "{hunter2"}})
    with pytest.raises(SettingsError) as caught:
        block(settings)
    message = str(caught.value)
    assert "plugins.service.port (AUTOML_PLUGINS__SERVICE__PORT): Input should be a valid integer" in message
    assert (
        "plugins.service.pasword (AUTOML_PLUGINS__SERVICE__PASWORD): unknown setting. Did you mean 'password'?"
        in message
    )
    assert "hunter2" not in message


def test_settings_do_not_show_the_blocks() -> None:
    assert "hunter2" not in repr(Settings(plugins={"service": {"password": "hunter2"}}))


def test_settings_are_frozen_and_can_be_pickled() -> None:
    settings = Settings(executor="ray")
    with pytest.raises(ValueError, match="frozen"):
        settings.executor = "other"
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_pickled_settings_do_not_read_the_environment_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pickled = pickle.dumps(Settings())
    monkeypatch.setenv("AUTOML_EXECUTOR", "ray")
    assert pickle.loads(pickled).executor == "threads"


@pytest.mark.skipif(os.name == "nt", reason="names of variables have no case there")
def test_variable_may_be_written_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("automl_executor", "ray")
    assert Settings().executor == "ray"
