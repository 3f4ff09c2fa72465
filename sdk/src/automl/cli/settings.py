"""`automl settings`: each value, and where it came from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from automl.cli.command import Command, align, echo_json, json_option

if TYPE_CHECKING:
    from automl_core import Settings
    from automl_core.plugins import Plugins

__all__ = ["settings"]

HIDDEN = "**********"


@click.command(
    cls=Command,
    examples=[
        "automl settings",
        "AUTOML_EXECUTOR=processes automl settings --json",
    ],
)
@json_option
def settings(as_json: bool) -> None:
    """Print each setting and where it came from.

    Code comes over the environment over .env over secret files over automl.toml (or $AUTOML_CONFIG) over defaults.
    What a plugin declares secret is hidden.
    """
    from automl_core.settings import load_settings, origins

    loaded = load_settings()
    found = origins(loaded)
    rows = [(name, value, found[name]) for name, value in _values(loaded).items()]
    if as_json:
        echo_json({name: {"value": value, "origin": origin} for name, value, origin in rows})
    else:
        click.echo(
            align(("setting", "value", "origin"), [(name, _text(value), origin) for name, value, origin in rows])
        )


def _values(loaded: Settings) -> dict[str, Any]:
    """Return settings by name; those of plugins as `plugins.NAME.KEY`, hidden where they may be secret."""
    from automl_core.plugins import Plugins

    values = {name: getattr(loaded, name) for name in type(loaded).model_fields if name != "plugins"}
    host = Plugins(loaded)
    for plugin, block in loaded.plugins.items():
        shown = _shown_keys(host, plugin)
        values |= {
            f"plugins.{plugin}.{key}": _without_password(value) if key in shown else HIDDEN
            for key, value in block.items()
        }
    return values


def _shown_keys(host: Plugins, plugin: str) -> set[str]:
    """Return the keys that the plugin's own model does not declare secret; none where there is no such model to ask."""
    from automl_core.errors import PluginError

    try:
        provided = host.describe(plugin)
    except PluginError:
        return set()
    models = [provider.settings() for _, _, provider in provided if provider.settings is not None]
    fields = {key: str(field.annotation) for model in models for key, field in model.model_fields.items()}
    return {key for key, annotation in fields.items() if "Secret" not in annotation}


def _without_password(value: Any) -> Any:
    return re.sub(r"(://[^/@\s:]*:)[^@\s]*@", rf"\1{HIDDEN}@", value) if isinstance(value, str) else value


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
