from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from automl_core import PluginError, Plugins
from automl_core.discovery import incompatibility


@pytest.mark.parametrize(
    "requirement",
    [
        "automl-core", "automl-core>=0.1,<1", "automl_core (>=0.1)", "Automl.Core~=0.1", "automl-core==0.1.*", "automl-core<=0.1",
        "automl-core==0.1", "automl-core[testing]>=0.1", "automl-core!=0.2", "automl-core>0.0.9", "automl-core @ file:///x>9",
        "automl-core>=9; extra == 'next'", "automl-core-extras>=9", "numpy>=9",
    ],
)  # fmt: skip
def test_core_meets_requirement(requirement: str) -> None:
    assert incompatibility([requirement]) == ""


@pytest.mark.parametrize(
    "requirement",
    [
        "automl-core>=1", "automl-core>=0.2,<1", "automl-core<0.1", "automl-core~=0.2", "automl-core==0.2.*",
        "automl-core!=0.1.*", "automl-core==0.1.1", "automl-core>0.1", "automl_core (>=0.1.1)", "automl-core[testing]>=2",
    ],
)  # fmt: skip
def test_core_does_not_meet_requirement(requirement: str) -> None:
    assert incompatibility(["numpy>=1", requirement]) == f"it needs {requirement}, and automl-core is 0.1.0"


def statuses(host: Plugins) -> dict[str, tuple[str, str]]:
    return {info.name: (info.status, info.reason) for info in host.infos()}


def test_discovery_imports_nothing(plugin: Callable[..., None], host: Callable[..., Plugins]) -> None:
    plugin("quiet", "raise RuntimeError('imported')")
    assert statuses(host())["quiet"] == ("available", "")
    assert "quiet_module" not in sys.modules


def test_distribution_and_version_are_told(plugin: Callable[..., None], host: Callable[..., Plugins]) -> None:
    plugin("mine", distribution="my-plugin", version="2.3")
    info = next(info for info in host().infos() if info.name == "mine")
    assert (info.distribution, info.version) == ("my-plugin", "2.3")


def test_disabled_plugin_says_so(plugin: Callable[..., None], host: Callable[..., Plugins]) -> None:
    plugin("mine")
    assert statuses(host(plugins_disabled=["mine"]))["mine"][0] == "disabled"


def test_incompatible_plugin_says_so(plugin: Callable[..., None], host: Callable[..., Plugins]) -> None:
    plugin("mine", requires=["automl-core>=7"])
    assert statuses(host())["mine"] == ("incompatible", "it needs automl-core>=7, and automl-core is 0.1.0")


def test_name_claimed_twice_is_a_conflict(plugin: Callable[..., None], host: Callable[..., Plugins]) -> None:
    plugin("mine", distribution="one")
    plugin("mine", distribution="two", folder="other")
    assert statuses(host())["mine"] == ("conflict", "name claimed by one and two; uninstall one")


def test_same_distribution_twice_on_the_path_is_no_conflict(
    plugin: Callable[..., None], host: Callable[..., Plugins]
) -> None:
    plugin("mine", distribution="My_Plugin")
    plugin("mine", distribution="my-plugin", folder="other")
    assert statuses(host())["mine"][0] == "available"


@pytest.mark.parametrize("name", ["Mine", "my-plugin", "9lives", "a.b"])
def test_name_that_no_setting_can_hold_is_broken(
    plugin: Callable[..., None], host: Callable[..., Plugins], name: str
) -> None:
    plugin(name, module="mine_module")
    assert statuses(host())[name] == ("broken", "the name must match [a-z][a-z0-9_]*")


def test_plugin_that_failed_to_load_is_broken(plugin: Callable[..., None], host: Callable[..., Plugins]) -> None:
    plugin("mine", "import no_such_library")
    plugins = host()
    with pytest.raises(PluginError):
        plugins.activate("mine")
    assert statuses(plugins)["mine"] == ("broken", "ModuleNotFoundError: No module named 'no_such_library'")


def test_loaded_plugin_is_active(plugin: Callable[..., None], host: Callable[..., Plugins]) -> None:
    plugin("mine")
    plugins = host()
    plugins.activate("mine")
    assert statuses(plugins)["mine"] == ("active", "")


def test_damaged_metadata_hides_no_other_plugin(
    plugin: Callable[..., None], host: Callable[..., Plugins], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plugin("mine")
    (tmp_path / "site" / "damaged-1.0.dist-info").mkdir()
    (tmp_path / "site" / "damaged-1.0.dist-info" / "entry_points.txt").write_text("[automl]\nno equals sign\n")
    plugins = host()
    assert "mine" in statuses(plugins)
    assert not plugins.installed("no equals sign")


def test_distribution_without_metadata_does_no_harm(
    plugin: Callable[..., None], host: Callable[..., Plugins], tmp_path: Path
) -> None:
    plugin("mine", distribution="interrupted")
    (tmp_path / "site" / "interrupted-1.0.dist-info" / "METADATA").unlink()
    assert statuses(host())["mine"][0] == "available"


@pytest.mark.skipif(find_spec("importlib_metadata") is None, reason="needs the backport importlib_metadata")
def test_backport_that_raises_for_want_of_metadata_does_no_harm(plugin: Callable[..., None], tmp_path: Path) -> None:
    plugin("mine", distribution="interrupted")
    site = tmp_path / "site"
    (site / "interrupted-1.0.dist-info" / "METADATA").unlink()
    # Once imported, the backport answers in place of the standard library, for the rest of the process.
    code = "import importlib_metadata; from automl_core.discovery import discover; print(discover()['mine'][0].name)"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(site)!r}); {code}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "unknown\n"


def test_settings_of_a_plugin_that_is_not_there_are_reported(
    plugin: Callable[..., None], host: Callable[..., Plugins], caplog: pytest.LogCaptureFixture
) -> None:
    plugin("mine")
    host(plugins={"mime": {"a": 1}}).infos()
    assert "plugin 'mime' is not installed. Did you mean 'mine'?" in caplog.text
