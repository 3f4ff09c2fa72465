"""`automl leaderboard` and `automl inspect`: what a saved model says about itself."""

from __future__ import annotations

import click

from automl.cli.command import Command, echo_json, json_option

__all__ = ["inspect", "leaderboard"]


@click.command(
    cls=Command,
    examples=[
        "automl leaderboard model.automl",
        "automl leaderboard model.automl --json",
    ],
)
@click.argument("model")
@json_option
def leaderboard(model: str, as_json: bool) -> None:
    """Print what was tried for a saved MODEL, best first."""
    from automl import load_model

    board = load_model(model).leaderboard()
    if as_json:
        echo_json(list(board))
    else:
        click.echo(board)


@click.command(cls=Command, examples=["automl inspect model.automl", "automl inspect model.automl --json"])
@click.argument("model")
@json_option
def inspect(model: str, as_json: bool) -> None:
    """Print what a saved MODEL is made of."""
