"""The command `automl`: its group, its exit codes, and how errors reach a person."""

from __future__ import annotations

import sys
from typing import Any

import click

from automl.cli.backup import backup, restore
from automl.cli.command import DEBUG, Command, WithExamples, debug_option
from automl.cli.demo import demo
from automl.cli.distill import distill
from automl.cli.doctor import doctor
from automl.cli.drift import drift
from automl.cli.ending import INTERRUPTED, leave
from automl.cli.fit import fit
from automl.cli.models import inspect, leaderboard
from automl.cli.plugins import plugins
from automl.cli.predict import predict
from automl.cli.report import report
from automl.cli.retrain import retrain
from automl.cli.serve import serve
from automl.cli.settings import settings
from automl.cli.stack import stack
from automl.cli.tracking import registry, tracker
from automl_core.errors import AutoMLError, SettingsError

__all__ = ["cli", "main"]

# What only fitting needs, and the sdk alone does not install.
TRAINING_LIBRARIES = frozenset({"pyarrow", "scipy", "sklearn"})


class Failure(click.ClickException):
    """An error that was foreseen: its message on stderr, no traceback."""

    def show(self, file: Any = None) -> None:
        click.echo(f"automl: {self.format_message()}", file=file or sys.stderr)


class WrongSettings(Failure):
    exit_code = 2


class Application(WithExamples, click.Group):
    """Turns foreseen errors into exit codes: 1 failed, 2 wrong settings, 130 interrupted."""

    command_class = Command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("automl: interrupted", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
        except (AutoMLError, OSError, ModuleNotFoundError) as error:
            if ctx.meta.get(DEBUG) or isinstance(error, BrokenPipeError):
                raise
            failure = _describe(error)
            if failure is None:
                raise
            raise failure from error


def _describe(error: Exception) -> Failure | None:
    if isinstance(error, SettingsError):
        return WrongSettings(str(error))
    if isinstance(error, AutoMLError):
        return Failure(str(error))
    if isinstance(error, OSError) and error.filename is not None:
        return Failure(f"{error.filename}: {error.strerror}")
    if isinstance(error, ModuleNotFoundError) and error.name in TRAINING_LIBRARIES:
        return Failure(f"this needs {error.name}, which is not installed: pip install 'automl-sdk[train]'")
    return None


@click.group(
    cls=Application,
    context_settings={"help_option_names": ["-h", "--help"]},
    examples=[
        "automl demo",
        "automl fit data.csv --target income",
        "automl predict model.automl new.csv",
    ],
)
@debug_option
def cli() -> None:
    """Find the best model for a table of data, and predict with it."""


@cli.command(
    examples=[
        "automl version",
    ]
)
def version() -> None:
    """Print the version."""
    from automl import __version__

    click.echo(f"automl {__version__} (Python {sys.version.split()[0]})")


for item in (
    backup,
    demo,
    distill,
    doctor,
    drift,
    fit,
    predict,
    leaderboard,
    inspect,
    plugins,
    registry,
    report,
    restore,
    retrain,
    serve,
    settings,
    stack,
    tracker,
):
    cli.add_command(item)


def main() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage or settings, 130 interrupted."""
    try:
        cli(prog_name="automl")
    except SystemExit as done:
        leave(done.code)
