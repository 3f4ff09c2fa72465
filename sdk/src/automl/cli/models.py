"""`automl leaderboard` and `automl inspect`: what a saved model says about itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import click

from automl.cli.command import Command, echo_json, json_option

__all__ = ["inspect", "leaderboard"]

SHOWN = 5


@click.command(
    cls=Command,
    examples=[
        "automl leaderboard model.automl",
        "automl leaderboard model.automl --json",
    ],
)
@click.argument("model", type=click.Path())
@json_option
def leaderboard(model: str, as_json: bool) -> None:
    """Print what was tried for a saved MODEL, best first."""
    from automl.several.file import read_manifests
    from automl.several.model import merge_leaderboards
    from automl.study.leaderboard import Leaderboard

    manifests = list(read_manifests(model).values())
    if len(manifests) == 1:
        board = Leaderboard(manifests[0]["leaderboard"], manifests[0]["metric"])
    else:
        board = merge_leaderboards({one["target"]: (one["leaderboard"], one["metric"]) for one in manifests})
    if as_json:
        echo_json(board.rows)
    else:
        click.echo(board)


@click.command(cls=Command, examples=["automl inspect model.automl", "automl inspect model.automl --json"])
@click.argument("model", type=click.Path())
@json_option
def inspect(model: str, as_json: bool) -> None:
    """Print what a saved MODEL is made of.

    JSON holds the whole manifest, of several targets one by each name; nothing of the model itself is loaded.
    """
    from automl.several.file import read_manifests

    manifests = read_manifests(model)
    if as_json:
        echo_json({"targets": manifests} if len(manifests) > 1 else next(iter(manifests.values())))
        return
    parts = [
        "\n".join(f"{name + ':':<12}{value}" for name, value in _summary(one).items()) for one in manifests.values()
    ]
    click.echo("\n\n".join(parts))


def _summary(manifest: Mapping[str, Any]) -> dict[str, str]:
    members = Counter(f"{part['kind']} in flat arrays" for part in manifest["parts"])
    members += Counter(f"{member['name']} ({member['form']})" for member in manifest["opaque"])
    importance = list(manifest["importance"].items())[:SHOWN]
    return {
        "task": f"{manifest['task']} of {manifest['target']!r}, chosen by {manifest['metric']}",
        "classes": ", ".join(map(str, manifest["classes"])) or "none",
        "columns": f"{len(manifest['importance'])} as given, {manifest['columns']} encoded",
        "importance": ", ".join(f"{name} {share:.1%}" for name, share in importance),
        "members": ", ".join(f"{count} {name}" for name, count in sorted(members.items())),
        "created": manifest["created"],
        "format": str(manifest["format"]),
        "versions": ", ".join(f"{name} {version}" for name, version in manifest["versions"].items()),
    }
