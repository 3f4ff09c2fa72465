"""What every command shares: `--debug`, tables and JSON on stdout."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

__all__ = ["DEBUG", "Command", "WithExamples", "align", "debug_option", "echo_json", "json_option", "writable"]

DEBUG = "automl.debug"


def _set_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta[DEBUG] = True


debug_option = click.option(
    "--debug", is_flag=True, expose_value=False, callback=_set_debug, help="Show the traceback of an error."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")


class WithExamples(click.Command):
    """A command whose help ends with examples, each a whole line for a shell."""

    def __init__(self, *args: Any, examples: Sequence[str], **options: Any) -> None:
        super().__init__(*args, **options)
        self.examples = tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Examples"):
            for line in self.examples:
                formatter.write(f"  {line}\n")


class Command(WithExamples):
    """A command that takes `--debug` as well, for those who add it at the end of the line."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        debug_option(self)


def align(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out rows of text in columns under a heading."""
    table = [list(head), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in table)


def echo_json(value: Any) -> None:
    """Print a value as JSON; numbers that are not finite become null, as JSON has none."""
    click.echo(json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False, default=str))


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def writable(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Refuse a place that cannot be written before the time is spent; a callback of an option."""
    if value is not None and "://" not in value:
        folder = Path(value).absolute().parent
        if not folder.is_dir():
            raise click.BadParameter(f"folder {str(folder)!r} does not exist; create it first.")
        if Path(value).is_dir():
            raise click.BadParameter(f"{value!r} is a folder; name a file in it.")
    return value
