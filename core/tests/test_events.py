from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from automl_core import PluginError, Plugins, SettingsError, Study, Trial, hookimpl

Install = Callable[..., None]
Host = Callable[..., Plugins]

STUDY = Study("s", "binary", "auc", rows=10, columns=2, seed=0, folds=5)
TELLING = """
import builtins
@hookimpl
def automl_study_started(study):
    builtins.told.append(__name__.removesuffix("_module"))
"""


@dataclass
class Listener:
    """A dataclass that compares by value, as a user's may."""

    told: list[object] = field(default_factory=list)

    @hookimpl
    def automl_trial_finished(self, trial: Trial) -> None:
        self.told.append(trial.id)


class Failing:
    calls = 0

    @hookimpl
    def automl_study_started(self) -> None:
        self.calls += 1
        raise RuntimeError("no")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr("builtins.told", told, raising=False)
    return told


def test_plugins_are_told_in_the_order_of_settings(plugin: Install, host: Host, told: list[str]) -> None:
    for name in ("a", "b", "c"):
        plugin(name, TELLING)
    host(listeners=["c", "a", "b"]).emit("automl_study_started", study=STUDY)
    assert told == ["c", "a", "b"]


def test_order_does_not_depend_on_what_was_built_first(plugin: Install, host: Host, told: list[str]) -> None:
    for name in ("a", "b"):
        plugin(name, TELLING)
    plugins = host(storage="a", learners=["b"])
    for name in ("b", "a"):
        plugins.activate(name)
    plugins.emit("automl_study_started", study=STUDY)
    assert told == ["a", "b"]


def test_plugin_that_no_setting_names_is_not_told(plugin: Install, host: Host, told: list[str]) -> None:
    plugin("a", TELLING)
    plugins = host()
    plugins.describe("a")
    plugins.emit("automl_study_started", study=STUDY)
    assert told == []


def test_selected_plugin_that_was_not_needed_stays_unimported(plugin: Install, host: Host, told: list[str]) -> None:
    plugin("a", TELLING)
    host(server="a").emit("automl_study_started", study=STUDY)
    assert told == []


def test_module_behind_two_names_is_told_once(plugin: Install, host: Host, told: list[str]) -> None:
    plugin("a", TELLING, module="both_module", distribution="both")
    plugin("b", None, module="both_module", distribution="both")
    host(listeners=["a", "b"]).emit("automl_study_started", study=STUDY)
    assert told == ["both"]


def test_missing_listener_stops_the_start(host: Host) -> None:
    with pytest.raises(PluginError, match="plugin 'notifier' is not installed"):
        host(listeners=["notifier"]).emit("automl_study_started", study=STUDY)


def test_listener_takes_the_arguments_that_it_wants(host: Host) -> None:
    plugins, listener = host(), Listener()
    plugins.listen(listener, "mine")
    plugins.emit("automl_trial_finished", study=STUDY, trial=Trial(7, "a", {}))
    assert listener.told == [7]


def test_block_of_a_listener_is_validated_at_the_start(plugin: Install, host: Host) -> None:
    plugin(
        "notifier",
        "from automl_core.settings import PluginSettings\n"
        "class Own(PluginSettings):\n    address: str = 'here'\n"
        "@hookimpl\ndef automl_settings():\n    return Own\n",
    )
    host(listeners=["notifier"], plugins={"notifier": {"address": "there"}}).ready()
    wrong = host(listeners=["notifier"], plugins={"notifier": {"adress": "there"}})
    for start in (wrong.ready, lambda: wrong.emit("automl_study_started", study=STUDY)):
        with pytest.raises(SettingsError, match="adress"):
            start()


def test_equal_listeners_are_all_told(host: Host) -> None:
    plugins, listeners = host(), [Listener(), Listener()]
    for number, listener in enumerate(listeners):
        plugins.listen(listener, f"listener-{number}")
    plugins.emit("automl_trial_finished", study=STUDY, trial=Trial(7, "a", {}))
    assert [listener.told for listener in listeners] == [[7], [7]]


def test_plugins_come_before_listeners(plugin: Install, host: Host, told: list[str]) -> None:
    class Late:
        @hookimpl
        def automl_study_started(self) -> None:
            told.append("late")

    plugin("a", TELLING)
    plugins = host(listeners=["a"])
    plugins.listen(Late(), "late")
    plugins.emit("automl_study_started", study=STUDY)
    assert told == ["a", "late"]


def test_one_that_raises_stops_no_other(
    plugin: Install, host: Host, told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    plugin("bad", "@hookimpl\ndef automl_study_started(study): raise RuntimeError('no')")
    plugin("good", TELLING)
    host(listeners=["bad", "good"]).emit("automl_study_started", study=STUDY)
    assert told == ["good"]
    assert caplog.messages == ["automl_study_started of bad failed: RuntimeError: no"]


def test_one_that_raises_five_times_is_set_aside(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    plugins, failing = host(), Failing()
    plugins.listen(failing, "failing")
    for _ in range(9):
        plugins.emit("automl_study_started", study=STUDY)
    assert failing.calls == 5
    assert caplog.messages[-1].endswith("RuntimeError: no; it is set aside")


def test_strict_raises_what_a_listener_raises(host: Host) -> None:
    plugins = host(strict=True)
    plugins.listen(Failing(), "failing")
    with pytest.raises(RuntimeError, match="no"):
        plugins.emit("automl_study_started", study=STUDY)


def test_interrupt_passes(host: Host) -> None:
    class Interrupting:
        @hookimpl
        def automl_study_started(self) -> None:
            raise KeyboardInterrupt

    plugins = host()
    plugins.listen(Interrupting(), "interrupting")
    with pytest.raises(KeyboardInterrupt):
        plugins.emit("automl_study_started", study=STUDY)


def test_unknown_event_is_an_error(host: Host) -> None:
    plugins = host()
    plugins.listen(Listener(), "mine")
    with pytest.raises(AttributeError):
        plugins.emit("automl_nothing")
