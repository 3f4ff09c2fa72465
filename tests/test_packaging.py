"""All distributions of the repository tell one story."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import distribution

import pytest
from packages import ROOT, Package, read_packages

CORE, SDK = read_packages("core", "sdk")
PLUGINS = read_packages("plugins/automl-*")
EVERY = [CORE, SDK, *PLUGINS, *read_packages("contrib/*")]
every_package = pytest.mark.parametrize("package", EVERY, ids=lambda package: package.folder.name)
every_plugin = pytest.mark.parametrize("package", PLUGINS, ids=lambda package: package.folder.name)

# Extras of the sdk that stand for no folder: everything that fitting needs, and libraries of its own.
OTHER_EXTRAS = {"train", "onnx", "report"}


def requirement_name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return found.group()


@every_plugin
def test_plugin_has_the_version_of_the_core(package: Package) -> None:
    assert package.project["version"] == CORE.project["version"]


def test_sdk_has_the_version_of_the_core() -> None:
    assert SDK.project["version"] == CORE.project["version"]


@pytest.mark.parametrize("module", ["automl", "automl_core"])
def test_module_tells_the_version_of_its_distribution(module: str) -> None:
    name = {"automl": "automl-sdk", "automl_core": "automl-core"}[module]
    imported = __import__(module)
    assert imported.__version__ == distribution(name).version


def test_extras_of_the_sdk_are_the_folders_of_plugins() -> None:
    extras = set(SDK.project["optional-dependencies"]) - OTHER_EXTRAS
    assert extras == {package.folder.name.removeprefix("automl-") for package in PLUGINS}


@every_plugin
def test_extra_of_the_sdk_installs_its_plugin(package: Package) -> None:
    extra = package.folder.name.removeprefix("automl-")
    wanted = SDK.project["optional-dependencies"][extra]
    assert [requirement_name(item) for item in wanted] == [package.project["name"]]


@every_plugin
def test_missing_plugin_is_advised_by_its_distribution(package: Package) -> None:
    from automl_core.plugins import FIRST_PARTY

    names = package.project["entry-points"]["automl"]
    assert {FIRST_PARTY.get(name) for name in names} == {package.project["name"]}


@every_package
def test_folder_is_named_like_the_distribution(package: Package) -> None:
    assert package.project["name"] in (package.folder.name, f"automl-{package.folder.name}")


@every_package
def test_package_names_its_licence(package: Package) -> None:
    assert package.project["license"] == "Apache-2.0"


@every_package
def test_package_needs_python_3_11(package: Package) -> None:
    assert package.project["requires-python"] == ">=3.11"


@every_package
def test_package_has_a_readme(package: Package) -> None:
    assert len((package.folder / package.project["readme"]).read_text()) > 200


@every_package
def test_package_has_tests(package: Package) -> None:
    assert list((package.folder / "tests").rglob("test_*.py"))


@every_package
def test_package_ships_its_types(package: Package) -> None:
    settings = tomllib.loads((package.folder / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert (package.source / "py.typed").is_file()
    assert "py.typed" in settings[package.source.name]


@every_package
def test_requirements_are_ranges(package: Package) -> None:
    optional = package.project.get("optional-dependencies", {}).values()
    exact = [item for items in [package.project["dependencies"], *optional] for item in items if "==" in item]
    assert exact == []


@pytest.mark.parametrize("package", EVERY[2:], ids=lambda package: package.folder.name)
def test_plugin_needs_the_core_and_no_sibling(package: Package) -> None:
    ours = [name for item in package.project["dependencies"] if (name := requirement_name(item)).startswith("automl")]
    assert ours == ["automl-core"]


def test_requirements_install_every_package_that_fitting_needs() -> None:
    lines = (ROOT / "deploy/requirements.txt").read_text().splitlines()
    folders = {line.removeprefix("-e ./").partition("[")[0] for line in lines if line.startswith("-e")}
    wanted = {requirement_name(item) for item in SDK.project["optional-dependencies"]["train"]}
    ours = {f"plugins/{name}" for name in wanted if name.startswith("automl-")}
    assert folders == {"core", "sdk"} | ours


def test_development_installs_every_plugin() -> None:
    text = "".join((ROOT / f"deploy/{name}.txt").read_text() for name in ("requirements", "requirements-dev"))
    assert [p.folder.name for p in PLUGINS if f"-e ./plugins/{p.folder.name}" not in text] == []


def test_constraints_are_names_and_versions_only() -> None:
    lines = (ROOT / "deploy/constraints.txt").read_text().splitlines()
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!-]+", line)] == []


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the constraints are resolved for Python 3.11")
@every_package
def test_constraints_pin_what_a_package_requires(package: Package) -> None:
    pinned = {line.partition("==")[0].lower() for line in (ROOT / "deploy/constraints.txt").read_text().splitlines()}
    wanted = {requirement_name(item).lower() for item in package.project["dependencies"]}
    assert {name for name in wanted if not name.startswith("automl")} <= pinned
