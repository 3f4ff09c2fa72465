from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from automl_core import ComponentUnavailable, PluginError, Plugins, SettingsError
from automl_core.hookspecs import hookimpl
from automl_core.kinds import KINDS
from automl_core.plugins import hook_name
from automl_core.testing.fakes import MemoryStorage, RecordingTracker

STORAGE = """
@hookimpl
def automl_storages():
    yield Provider("mine", lambda context: MemoryStorage(), "Keeps it in memory.")
"""
TWO_TRACKERS = """
@hookimpl
def automl_trackers():
    yield Provider("first", lambda context: RecordingTracker(), "The first one.")
    yield Provider("second", lambda context: RecordingTracker(), "The second one.")
"""

Install = Callable[..., None]
Host = Callable[..., Plugins]


def test_selected_plugin_is_built(plugin: Install, host: Host) -> None:
    plugin("mine", STORAGE)
    assert isinstance(host().build("storage", "mine"), MemoryStorage)


def test_second_provider_is_picked_by_its_name(plugin: Install, host: Host) -> None:
    plugin("mine", TWO_TRACKERS)
    assert isinstance(host().build("tracker", "mine.second"), RecordingTracker)


def test_several_providers_and_no_choice_is_an_error(plugin: Install, host: Host) -> None:
    plugin("mine", TWO_TRACKERS)
    with pytest.raises(PluginError, match=r"several tracker components; name one of: mine\.first, mine\.second\."):
        host().build("tracker", "mine")


def test_build_all_takes_every_provider_once(plugin: Install, host: Host) -> None:
    plugin("mine", TWO_TRACKERS)
    assert list(host().build_all("tracker", ["mine.second", "mine"])) == ["mine.second", "mine.first"]


def test_provider_on_request_is_built_by_its_own_name_alone(plugin: Install, host: Host) -> None:
    third = """    yield Provider("third", lambda context: RecordingTracker(), "The third one.", on_request=True)\n"""
    plugin("mine", TWO_TRACKERS + third)
    assert list(host().build_all("tracker", ["mine"])) == ["mine.first", "mine.second"]
    assert list(host().build_all("tracker", ["mine.third"])) == ["mine.third"]


def test_plugin_of_nothing_but_providers_on_request_names_them(plugin: Install, host: Host) -> None:
    only = """    yield Provider("only", lambda context: RecordingTracker(), "The only one.", on_request=True)\n"""
    plugin("mine", "@hookimpl\ndef automl_trackers():\n" + only)
    with pytest.raises(PluginError, match="it provides: only"):
        host().build("tracker", "mine")


def test_build_all_closes_what_it_built_when_one_fails(
    plugin: Install, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[object] = []
    monkeypatch.setattr(RecordingTracker, "close", lambda tracker: closed.append(tracker))
    plugin("mine", TWO_TRACKERS)
    plugin(
        "broken", "@hookimpl\ndef automl_trackers():\n    yield Provider('broken', lambda context: 1 / 0, 'Fails.')\n"
    )
    with pytest.raises(PluginError, match="ZeroDivisionError"):
        host().build_all("tracker", ["mine", "broken"])
    assert len(closed) == 2


def test_module_behind_two_names_shows_each_its_own(plugin: Install, host: Host) -> None:
    source = """
@hookimpl
def automl_storages():
    yield Provider("one", lambda context: MemoryStorage(), "One.")
    yield Provider("two", lambda context: MemoryStorage(), "Two.")
    yield Provider("more", lambda context: MemoryStorage(), "More.")
"""
    plugin("one", source, module="both", distribution="both")
    plugin("two", None, module="both", distribution="both")
    plugins = host()
    assert [full for _, full, _ in plugins.describe("one")] == ["one", "one.more"]
    assert [full for _, full, _ in plugins.describe("two")] == ["two", "two.more"]


def test_context_carries_what_the_user_set(plugin: Install, host: Host) -> None:
    plugin(
        "mine",
        "class Keeping(MemoryStorage):\n    def __init__(self, context): self.context = context\n"
        "@hookimpl\ndef automl_storages():\n    yield Provider('mine', Keeping, 'Keeps its context.')\n",
    )
    context = host(plugins={"mine": {"a": 1}}, directory="files").build("storage", "mine").context
    assert (context.plugin, dict(context.block), context.threads, context.directory) == ("mine", {"a": 1}, 1, "files")


def test_unselected_plugin_is_not_imported(plugin: Install, host: Host) -> None:
    plugin("mine", STORAGE)
    plugin("broken", "raise RuntimeError('imported')")
    host().build("storage", "mine")
    assert "broken_module" not in sys.modules


@pytest.mark.parametrize("kind", KINDS)
def test_hook_of_each_kind_is_known(kind: str) -> None:
    from automl_core import hookspecs

    assert hasattr(hookspecs, hook_name(kind))


# ---- what a user is told


def test_missing_plugin_offers_the_closest(plugin: Install, host: Host) -> None:
    plugin("mine", STORAGE)
    with pytest.raises(
        PluginError, match=r"plugin 'mime' is not installed\. Did you mean 'mine'\? Installed plugins: .*mine"
    ):
        host().build("storage", "mime")


def test_missing_first_party_plugin_names_its_distribution(host: Host) -> None:
    plugins = host()
    plugins.found.pop("azure", None)
    for word in ("azure", "az://container/folder"):
        with pytest.raises(PluginError, match="Install it with: pip install automl-azure"):
            plugins.build("storage", word)


def test_advice_names_no_foreign_distribution(host: Host) -> None:
    with pytest.raises(PluginError) as caught:
        host().build("storage", "some_foreign_plugin")
    assert "pip install" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("this is no python", "SyntaxError"),
        ("@hookimpl\ndef automl_storage(): ...", "unknown hook 'automl_storage'"),
        ("@hookimpl\ndef automl_study_started(studie): ...", "PluginValidationError"),
        ("@hookimpl(wrapper=True)\ndef automl_study_started(study): yield", "takes? none|wrapper"),
    ],
    ids=["import", "exit", "syntax", "unknown-hook", "unknown-argument", "wrapper"],
)
def test_plugin_that_cannot_load_is_blamed(plugin: Install, host: Host, source: str, cause: str) -> None:
    plugin("mine", source, version="1.2")
    with pytest.raises(PluginError, match=cause) as caught:
        host().activate("mine")
    assert str(caught.value).startswith("plugin 'mine' (fake-mine 1.2) failed to load: ")
    assert caught.value.__cause__ is not None


def test_plugin_that_cannot_load_leaves_no_trace(plugin: Install, host: Host) -> None:
    plugin("mine", STORAGE)
    plugin("broken", "@hookimpl\ndef automl_nothing(): ...")
    plugins = host()
    with pytest.raises(PluginError):
        plugins.activate("broken")
    assert isinstance(plugins.build("storage", "mine"), MemoryStorage)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"requires": ["automl-core>=7"]},
            r"plugin 'mine' \(fake-mine 1\.0\) is incompatible: it needs automl-core>=7",
        ),
        ({"settings": {"plugins_disabled": ["mine"]}}, "is disabled: remove it from plugins_disabled"),
        ({"twice": True}, "plugin 'mine' is ambiguous: name claimed by another and fake-mine; uninstall one"),
    ],
    ids=["incompatible", "disabled", "conflict"],
)
def test_plugin_that_may_not_be_used_is_not_imported(
    plugin: Install, host: Host, options: dict[str, Any], message: str
) -> None:
    plugin("mine", "raise RuntimeError('imported')", requires=options.get("requires", ()))
    if "twice" in options:
        plugin("mine", "raise RuntimeError('imported')", distribution="another", folder="other")
    with pytest.raises(PluginError, match=message):
        host(**options.get("settings", {})).activate("mine")


def test_thing_that_is_not_provided_lists_what_is(plugin: Install, host: Host) -> None:
    plugin("mine", TWO_TRACKERS)
    with pytest.raises(
        PluginError, match=r"provides no tracker named 'secnd'; it provides: first, second\. Did you mean 'second'"
    ):
        host().build("tracker", "mine.secnd")
    with pytest.raises(PluginError, match="provides no cache; it provides: tracker 'first', tracker 'second'"):
        host().build("cache", "mine")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("@hookimpl\ndef automl_storages(): yield 'mine'", "gives a str from automl_storages, which is no Provider"),
        ("@hookimpl\ndef automl_storages(): yield 1 / 0", "failed in automl_storages: ZeroDivisionError"),
        ("@hookimpl\ndef automl_storages(): return 3", "failed in automl_storages: TypeError"),
        (
            "@hookimpl\ndef automl_storages():\n    yield Provider('a', print, '.')\n    yield Provider('a', print, '.')",
            "gives two providers named 'a'",
        ),
        ("@hookimpl\ndef automl_storages(): yield Provider('mine', lambda c: RecordingTracker(), '.')", "which is no Storage"),
        ("@hookimpl\ndef automl_storages(): yield Provider('mine', lambda c: exit(1), '.')", "failed to build 'mine': SystemExit"),
        ("@hookimpl\ndef automl_storages(): yield Provider('mine', lambda c: 1 / 0, '.')", "failed to build 'mine': ZeroDiv"),
    ],
)  # fmt: skip
def test_faulty_provider_is_blamed(plugin: Install, host: Host, source: str, message: str) -> None:
    plugin("mine", source)
    with pytest.raises(PluginError, match=message) as caught:
        host().build("storage", "mine")
    assert str(caught.value).startswith("plugin 'mine' (fake-mine 1.0) ")


@pytest.mark.parametrize("error", [ComponentUnavailable, SettingsError])
def test_error_of_the_family_passes_as_it_is(plugin: Install, host: Host, error: type[Exception]) -> None:
    plugin(
        "mine",
        f"from automl_core import {error.__name__}\ndef build(context): raise {error.__name__}('as it is')\n"
        "@hookimpl\ndef automl_storages(): yield Provider('mine', build, '.')",
    )
    with pytest.raises(error, match=r"^as it is$"):
        host().build("storage", "mine")


def test_hook_calls_are_traced(plugin: Install, host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    plugin("mine", STORAGE)
    host(trace=True).build("storage", "mine")
    assert "automl trace: automl_storages of mine: done after" in capsys.readouterr().err


def test_optional_hook_of_a_later_core_is_accepted(plugin: Install, host: Host) -> None:
    plugin("mine", STORAGE + "\n@hookimpl(optionalhook=True)\ndef automl_something_later(thing): ...")
    assert isinstance(host().build("storage", "mine"), MemoryStorage)


def test_listener_with_a_wrong_hook_is_refused(host: Host) -> None:
    class Wrong:
        @hookimpl
        def automl_study_begun(self) -> None: ...

    with pytest.raises(PluginError, match="listener 'wrong' cannot be added: unknown hook 'automl_study_begun'"):
        host().listen(Wrong(), "wrong")


def test_listener_with_a_taken_name_is_refused(host: Host) -> None:
    plugins = host()
    plugins.listen(object(), "mine")
    with pytest.raises(PluginError, match="there is a listener named 'mine' already"):
        plugins.listen(object(), "mine")
