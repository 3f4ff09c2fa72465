"""`automl plugins new` and `automl plugins check`: for those who write plugins."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from automl.cli.command import Command, align, echo_json, json_option
from automl_core.kinds import KINDS

if TYPE_CHECKING:
    from automl.authoring.check import Check

__all__ = ["check", "complete_plugin", "new"]


def complete_plugin(_: click.Context, __: click.Parameter | None, incomplete: str) -> list[str]:
    """Return the installed plugins for the shell."""
    from automl_core.discovery import discover

    return sorted(name for name in discover() if name.startswith(incomplete))


@click.command(
    cls=Command,
    examples=[
        "automl plugins new mine --kind learner",
        "automl plugins new audit --kind tracker --out ../automl-audit",
    ],
)
@click.argument("name")
@click.option("--kind", type=click.Choice(list(KINDS)), required=True, help="What it provides.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="The folder; automl-NAME if not given.")
def new(name: str, kind: str, out: Path | None) -> None:
    """Write a plugin called NAME that works, with its tests: a small component of the kind, to put your own in its place."""
    from automl.authoring.make import make_plugin

    folder = out or Path(f"automl-{name.replace('_', '-')}")
    for file in make_plugin(name, kind, folder):
        click.echo(f"wrote {file}")
    click.echo(f"\nnext: cd {folder} && pip install -e '.[test]' && pytest && automl plugins check {name}")


@click.command(
    cls=Command,
    examples=[
        "automl plugins check mine",
        "AUTOML_PLUGINS__REDIS__HOST=cache-1 automl plugins check redis",
        "automl plugins check mine --json",
    ],
)
@click.argument("name", shell_complete=complete_plugin)
@json_option
@click.pass_context
def check(ctx: click.Context, name: str, as_json: bool) -> None:
    """Run the conformance suites on the installed plugin NAME, with the settings as they are; exit with 1 where a check fails.

    A plugin's own tests can say more: what it is able to, how to read back what it keeps, and which checks it cannot meet.
    """
    from automl.authoring.check import check_plugin
    from automl_core.plugins import Plugins
    from automl_core.settings import load_settings

    Plugins(load_settings()).describe(name)  # what cannot be had is told at once, and why
    checks = check_plugin(name)
    if as_json:
        echo_json([asdict(one) for one in checks])
    else:
        _show(checks)
    if any(one.outcome == "failed" for one in checks):
        ctx.exit(1)


def _show(checks: list[Check]) -> None:
    rows = [
        (one.part, one.check, one.outcome, one.reason.partition("\n")[0] if one.outcome == "skipped" else "")
        for one in checks
    ]
    click.echo(align(("part", "check", "result", "why"), rows))
    for one in checks:
        if one.outcome == "failed":
            click.echo(f"\nFAILED {one.part}: {one.check}\n  what    {one.reason.replace(chr(10), chr(10) + ' ' * 10)}")
            click.echo(f"  remedy  {one.remedy}")
    counts = [sum(one.outcome == outcome for one in checks) for outcome in ("passed", "failed", "skipped")]
    click.echo(f"\n{counts[0]} passed, {counts[1]} failed, {counts[2]} skipped")
