"""`automl backup` and `automl restore`: the engine's directory as one file, and back."""

from __future__ import annotations

from pathlib import Path

import click

from automl.cli.command import Command, writable

__all__ = ["backup", "restore"]


@click.command(cls=Command, examples=["automl backup saved.tar"])
@click.argument("file", callback=writable)
def backup(file: str) -> None:
    """Write the engine's directory to FILE while all goes on: journals, the registry, labels, MLflow's own database.

    A store elsewhere, such as PostgreSQL or a bucket, has backups of its own.
    """
    from automl.backup import back_up
    from automl_core.settings import load_settings

    directory = Path(load_settings().directory)
    count = back_up(directory, Path(file))
    click.echo(f"{count} files of {directory} are in {file}")


@click.command(
    cls=Command,
    examples=["automl restore saved.tar", "automl restore saved.tar --into drill"],
)
@click.argument("file")
@click.option("--into", type=click.Path(file_okay=False), help="A FOLDER; else the directory of the settings.")
def restore(file: str, into: str | None) -> None:
    """Unpack a backup into the engine's directory, which must be empty; nothing is touched where FILE is damaged."""
    from automl.backup import restore as unpack
    from automl_core.settings import load_settings

    directory = Path(into or load_settings().directory)
    count = unpack(Path(file), directory)
    click.echo(f"{count} files are back in {directory}")
