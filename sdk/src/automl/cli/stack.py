"""`automl stack`: Redis, MLflow, Prometheus, Alertmanager, the server and clusters, as processes on this machine."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from automl.cli.command import align, echo_json, json_option
from automl.cli.tracking import Group

if TYPE_CHECKING:
    from automl.stack.run import Stack

__all__ = ["stack"]

directory_option = click.option(
    "--directory", type=click.Path(file_okay=False, path_type=Path),
    help="For configuration, data, secrets and logs; .automl/stack if not given.",
)  # fmt: skip


@click.group(
    cls=Group,
    examples=[
        "automl stack up model.automl",
        "automl stack env",
        "automl stack status",
        "automl stack down",
    ],
)
def stack() -> None:
    """Run what production has on this machine, on loopback alone: Redis, MLflow, Prometheus, Alertmanager, the server."""


@stack.command(
    examples=[
        "automl stack up",
        "automl stack up model.automl --port server=8000 --port prometheus=9090",
        "automl stack up models:/income@champion --on-call https://pager.example.com/hook",
        "automl stack up --with ray,dask --without prometheus",
    ]
)
@click.argument("model", required=False, default="")
@directory_option
@click.option(
    "--with", "added", multiple=True, metavar="PARTS", help="Also ray, dask; fail where one is not installed."
)
@click.option("--without", "left_out", multiple=True, metavar="PARTS", help="Leave these out; end those that run.")
@click.option("--port", "ports", multiple=True, metavar="PART=NUMBER", help="In place of a free one; may be repeated.")
@click.option(
    "--on-call", metavar="URL", default="", help="Where alerts are sent to: a webhook of Alertmanager, which needs one."
)
@click.option("--workers", type=click.IntRange(1, 256), help="Processes of the server; 2 if not given.")
def up(
    model: str, directory: Path | None, added: tuple[str, ...], left_out: tuple[str, ...], ports: tuple[str, ...],
    on_call: str, workers: int | None,
) -> None:  # fmt: skip
    """Start what is down, serving MODEL, wait until all is well, and print the environment that finds it.

    Parts are redis, mlflow, server, alertmanager and prometheus; what was asked for before holds until something else is.
    Without a MODEL there is no server, without a URL of whoever is on call no alertmanager. The processes stay until `automl stack down`; Ctrl-C before that ends those just started.
    """
    from automl.stack.run import Wish
    from automl_core.settings import load_settings

    settings = load_settings()
    wish = Wish(
        str(Path(settings.directory).absolute()), settings.trackers, model, _address(on_call), workers, _words(added),
        _words(left_out), _ports(ports),
    )  # fmt: skip
    layout = _stack(directory).up(wish)
    click.echo("")
    _export(layout.environment())


@stack.command(examples=["automl stack status", "automl stack status --json"])
@directory_option
@json_option
@click.pass_context
def status(ctx: click.Context, directory: Path | None, as_json: bool) -> None:
    """Show each part; exits with 1 where one is down or does not answer."""
    found = _stack(directory).status()
    if as_json:
        echo_json([asdict(condition) for condition in found])
    else:
        rows = [(c.name, c.state, c.address, str(c.pid or ""), c.log) for c in found]
        click.echo(align(("PART", "STATE", "ADDRESS", "PROCESS", "LOG"), rows))
    if any(condition.state != "up" for condition in found):
        ctx.exit(1)


@stack.command(examples=["automl stack down"])
@directory_option
def down(directory: Path | None) -> None:
    """End all processes of the stack; data, secrets and logs stay, and `up` brings it back as it was."""
    _stack(directory).down()


@stack.command(examples=["automl stack env"])
@directory_option
def env(directory: Path | None) -> None:
    """Print lines for `eval` of a shell, after which `automl fit`, `doctor`, `registry` and others use the stack."""
    _export(_stack(directory).layout().environment())


def _stack(directory: Path | None) -> Stack:
    from automl.stack.run import Stack
    from automl_core.settings import load_settings

    return Stack(directory or Path(load_settings().directory) / "stack", lambda line: click.echo(line, err=True))


def _export(variables: Mapping[str, str]) -> None:
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")


def _words(texts: tuple[str, ...]) -> list[str]:
    return [word.strip() for text in texts for word in text.split(",") if word.strip()]


def _address(text: str) -> str:
    if text and not text.startswith(("http://", "https://")):
        raise click.BadParameter(f"{text!r} begins with neither http:// nor https://.", param_hint="--on-call")
    return text


def _ports(texts: tuple[str, ...]) -> dict[str, int]:
    found = {}
    for text in texts:
        name, _, number = text.partition("=")
        if not number.isdigit() or not 0 < int(number) < 65536:
            raise click.BadParameter(f"{text!r} is no PART=NUMBER with a port from 1 to 65535.", param_hint="--port")
        found[name] = int(number)
    return found
