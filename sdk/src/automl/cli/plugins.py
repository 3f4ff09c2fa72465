"""`automl plugins`: what is installed, in which state, and why; and commands for those who write them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from automl.cli.authors import check, complete_plugin, new
from automl.cli.command import Command, WithExamples, align, echo_json, json_option

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from automl_core import PluginSettings
    from automl_core.plugins import Plugins

__all__ = ["plugins"]

HEAD = ("name", "distribution", "version", "status", "reason")


class Group(WithExamples, click.Group):
    """`automl plugins` and `automl plugins NAME` stand for `automl plugins show`."""

    command_class = Command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words = [word for word in args if not word.startswith("-")]
        asks_help = bool(args) and args[0] in ctx.help_option_names
        if not (ctx.resilient_parsing or asks_help or (words and words[0] in self.commands)):
            args = ["show", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        names = complete_plugin(ctx, None, incomplete)
        return [*super().shell_complete(ctx, incomplete), *map(CompletionItem, names)]


@click.group(
    cls=Group,
    subcommand_metavar="[NAME] | new ... | check ...",
    examples=[
        "automl plugins",
        "automl plugins optuna",
        "automl plugins --json",
        "automl plugins new mine --kind learner",
        "automl plugins check mine",
    ],
)
def plugins() -> None:
    """List plugins; with NAME, what one provides. Make a new one, or check that one does what it must."""


@plugins.command(
    examples=[
        "automl plugins",
        "automl plugins optuna",
        "automl plugins --json",
    ]
)
@click.argument("name", required=False, shell_complete=complete_plugin)
@json_option
def show(name: str | None, as_json: bool) -> None:
    """List plugins; with NAME, what one provides. The word `show` may be left out."""
    from automl_core.plugins import Plugins
    from automl_core.settings import load_settings

    host = Plugins(load_settings())
    if name is None:
        _list(host, as_json)
    else:
        _describe(host, name, as_json)


def _list(host: Plugins, as_json: bool) -> None:
    infos = host.infos()
    if as_json:
        echo_json([asdict(info) for info in infos])
    elif infos:
        click.echo(
            align(HEAD, [[info.name, info.distribution, info.version, info.status, info.reason] for info in infos])
        )
    else:
        click.echo("no plugin is installed: pip install 'automl-sdk[train]'")


def _describe(host: Plugins, name: str, as_json: bool) -> None:
    provided = host.describe(name)
    info = next(info for info in host.infos() if info.name == name)
    entries: list[dict[str, Any]] = [
        {
            "kind": kind,
            "name": full,
            "summary": provider.summary,
            "settings": [] if provider.settings is None else _settings(name, provider.settings()),
        }
        for kind, full, provider in provided
    ]
    if not provided:  # it only listens
        told = (host.activate(name).__doc__ or "").partition("\n")[0]
        own = [item for model in host.listener_settings(name) for item in _settings(name, model)]
        entries = [{"kind": "listener", "name": name, "summary": told, "settings": own}]
    if as_json:
        echo_json({**asdict(info), "hooks": _hooks(host, name), "provides": entries})
        return
    click.echo(f"{info.name}: {info.distribution} {info.version}, {info.status}\n")
    click.echo(align(("kind", "name", "summary"), [[e["kind"], e["name"], e["summary"]] for e in entries]))
    click.echo(f"\nhooks: {', '.join(_hooks(host, name))}")
    settings = {item["variable"]: item for entry in entries for item in entry["settings"]}
    if settings:
        rows = [[s["setting"], s["variable"], s["default"], s["description"]] for s in settings.values()]
        click.echo("\n" + align(("setting", "environment", "default", "description"), rows))


def _hooks(host: Plugins, name: str) -> list[str]:
    """Return the hooks that a plugin's entry module implements."""
    module: Any = host.activate(name)
    return sorted(hook for hook in dir(module) if hasattr(getattr(module, hook), "automl_impl"))


def _settings(plugin: str, model: type[PluginSettings]) -> list[dict[str, str]]:
    return [
        {
            "setting": f"plugins.{plugin}.{key}",
            "variable": f"AUTOML_PLUGINS__{plugin.upper()}__{key.upper()}",
            "default": "required" if field.is_required() else str(field.get_default(call_default_factory=True)),
            "description": field.description or "",
        }
        for key, field in model.model_fields.items()
    ]


plugins.add_command(new)
plugins.add_command(check)
