"""`automl retrain`: repair a model in production, by hand, from cron, or as a listener of alerts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from automl.cli.command import Command, align, echo_json, json_option

if TYPE_CHECKING:
    from automl_core import Event

__all__ = ["retrain"]

NOT_PROMOTED = 4


@click.command(
    cls=Command,
    examples=[
        "automl retrain income --ledger rows.sqlite --data train.csv",
        "automl retrain income --recent s3://bucket/labelled --time-column time --exit-code",
        "automl retrain income --rollback",
        "automl retrain income --history",
    ],
)
@click.argument("name", required=False)
@click.option("--ledger", help="The FILE in which the server keeps predictions and their truth.")
@click.option("--recent", help="In place of a ledger: a table of rows with their truth, the latest last.")
@click.option("--time-column", help="The column of that table that tells when a row was predicted.")
@click.option("--data", help="Labelled rows of earlier times to learn from too.")
@click.option("--alias", help="The alias that servers follow; champion if not given.")
@click.option("--time-limit", type=click.FloatRange(min=0, min_open=True), help="Seconds for all fits.")
@click.option("--because", default="by hand", help="What asks for it, for the journal.")
@click.option("--force", is_flag=True, help="Start whatever cooldown, budget and number of labels say.")
@click.option("--rollback", is_flag=True, help="Go back to the version before the last promotion.")
@click.option("--history", is_flag=True, help="Show what was decided so far, and change nothing.")
@click.option("--exit-code", is_flag=True, help=f"Exit with {NOT_PROMOTED} when no model was promoted.")
@json_option
@click.pass_context
def retrain(
    ctx: click.Context, /, because: str, force: bool, rollback: bool, history: bool, exit_code: bool, as_json: bool,
    **given: Any,
) -> None:  # fmt: skip
    """Fit a challenger of the model NAME on labelled traffic, and promote it if it beats the champion.

    Labelled traffic is what a server joined in its ledger, or a table. The models are those of the registry in the
    settings (AUTOML_TRACKERS=journal); further settings are in [plugins.retrain].
    """
    from automl.artifact.registered import find_registry
    from automl.retrain.history import History
    from automl.retrain.run import Retraining
    from automl.retrain.settings import RetrainSettings
    from automl_core import Plugins
    from automl_core.settings import load_settings, validate_block

    loaded = load_settings()
    block = {**loaded.plugins.get("retrain", {}), **{key: value for key, value in given.items() if value is not None}}
    settings = validate_block("retrain", RetrainSettings, block)
    plugins = Plugins(loaded)
    with plugins.build("storage", loaded.storage) as storage:
        if history:
            _show(History(storage, settings.name).entries(), as_json)
            return
        retraining = Retraining(find_registry("automl retrain", plugins), storage, settings, engine=loaded)
        entry = retraining.rollback(because) if rollback else retraining.run(because, force=force)
    if as_json:
        echo_json({"time": entry.time, **entry.attributes})
    else:
        click.echo(f"{settings.name}: {entry.attributes['stage']}{_detail(entry)}")
    if exit_code and entry.attributes["stage"] not in ("promoted", "rolled_back"):
        ctx.exit(NOT_PROMOTED)


def _show(entries: list[Event], as_json: bool) -> None:
    if as_json:
        echo_json([{"time": entry.time, **entry.attributes} for entry in entries])
        return
    rows = [
        (datetime.fromtimestamp(e.time, UTC).isoformat(timespec="seconds"), e.attributes["stage"], _detail(e)[2:])
        for e in entries
    ]
    click.echo(align(("TIME", "STAGE", "DETAIL"), rows) if rows else "nothing was decided yet")


def _detail(entry: Event) -> str:
    told = entry.attributes
    parts = [f"version {told['version']}"] if "version" in told else []
    parts += [f"back to {told['to']}"] if "to" in told else []
    parts += [told["reason"]] if told.get("reason") else []
    for kind, found in told.get("challengers", {}).items():
        score = f"{found['metric']} {found['champion']:.4f} to {found['challenger']:.4f} on {found['rows']} rows"
        parts.append(f"learned from {kind}: {score}" + (f", {found['reason']}" if found["reason"] else ""))
    if told["stage"] in ("started", "rolled_back") and told.get("because"):
        parts.append(told["because"])
    return ": " + "; ".join(parts) if parts else ""
