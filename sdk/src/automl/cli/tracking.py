"""`automl registry` and `automl tracker`: what trackers keep."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from automl.cli.command import Command, WithExamples, align, echo_json, json_option
from automl_core.errors import DataError

if TYPE_CHECKING:
    from automl_core import Registry

__all__ = ["registry", "tracker"]


class Group(WithExamples, click.Group):
    command_class = Command


alias_option = click.option("--alias", default="champion", show_default=True, help="The alias to move.")


@click.group(
    cls=Group,
    examples=[
        "automl registry add income model.automl --alias challenger",
        "automl registry promote income challenger",
        "automl registry rollback income",
        "automl registry list income --json",
    ],
)
def registry() -> None:
    """Keep versions of models, in the first tracker of the settings that can."""


@registry.command("list", examples=["automl registry list income"])
@click.argument("name")
@json_option
def list_versions(name: str, as_json: bool) -> None:
    """Print the versions of the model NAME, their aliases and tags."""
    kept = _registry()
    aliases = kept.aliases(name)
    found = [(v, [a for a, at in aliases.items() if at == v], kept.tags(name, v)) for v in kept.versions(name)]
    if as_json:
        echo_json([{"version": version, "aliases": names, "tags": tags} for version, names, tags in found])
        return
    if not found:
        raise DataError(f"there is no model {name!r} in the registry.")
    rows = [
        (version, ", ".join(names), ", ".join(f"{k}={v}" for k, v in tags.items())) for version, names, tags in found
    ]
    click.echo(align(("version", "aliases", "tags"), rows))


@registry.command("add", examples=["automl registry add income model.automl --alias challenger"])
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--alias", help="Point this alias at the new version.")
def add(name: str, file: Path, alias: str | None) -> None:
    """Keep FILE as a new version of the model NAME."""
    from automl.artifact import read_manifest

    study = str(read_manifest(file)["info"].get("study", ""))
    kept = _registry()
    version = kept.register(name, file, tags={"study": study} if study else {})
    if alias is not None:
        kept.alias(name, alias, version)
    click.echo(f"models:/{name}/{version}")


@registry.command("promote", examples=["automl registry promote income challenger", "automl registry promote income 3"])
@click.argument("name")
@click.argument("version")
@alias_option
def promote(name: str, version: str, alias: str) -> None:
    """Point the alias of the model NAME at VERSION, or at what the alias VERSION points at."""
    kept = _registry()
    try:
        kept.alias(name, alias, version)
    except KeyError as error:
        raise DataError(str(error.args[0])) from error
    click.echo(f"models:/{name}@{alias} is version {kept.aliases(name)[alias]}")


@registry.command("rollback", examples=["automl registry rollback income"])
@click.argument("name")
@alias_option
def rollback(name: str, alias: str) -> None:
    """Point the alias of the model NAME at the version that it had before."""
    try:
        version = _registry().rollback(name, alias)
    except KeyError as error:
        raise DataError(str(error.args[0])) from error
    click.echo(f"models:/{name}@{alias} is version {version}")


@click.group(cls=Group, examples=["automl tracker flush"])
def tracker() -> None:
    """See to the trackers of the settings."""


@tracker.command("flush", examples=["automl tracker flush"])
def flush() -> None:
    """Send what trackers could not: of studies whose server was away, or whose process was killed."""
    from automl_core import Plugins
    from automl_core.errors import ComponentUnavailable
    from automl_core.settings import load_settings

    plugins = Plugins(load_settings())
    waiting = 0
    for name, component in plugins.build_all("tracker", plugins.settings.trackers).items():
        with component:
            sent, left = component.flush()
        waiting += left
        click.echo(f"{name}: {sent} records sent, {left} studies wait")
    if waiting:
        raise ComponentUnavailable(f"{waiting} studies could not be sent; the log says why. Try again later.")


def _registry() -> Registry:
    from automl.artifact.registered import find_registry
    from automl_core import Plugins
    from automl_core.settings import load_settings

    return find_registry("this", Plugins(load_settings()))
