"""`automl serve`: a saved model behind HTTP."""

from __future__ import annotations

import click

from automl.cli.command import Command

__all__ = ["serve"]


@click.command(
    cls=Command,
    examples=[
        "automl serve model.automl",
        "automl serve model.automl --workers 4 --host 0.0.0.0 --port 8000",
        "automl serve models:/income@champion --challenger models:/income@challenger=0.1",
        "automl serve models:/income@champion --ledger rows.sqlite",
    ],
)
@click.argument("model", envvar="AUTOML_MODEL_URI")
@click.option("--host", envvar="AUTOML_HOST", help="Address to bind; loopback unless told otherwise.")
@click.option("--port", type=click.IntRange(0, 65535), envvar="AUTOML_PORT", help="Port to bind; 8000 if not given.")
@click.option("--workers", type=click.IntRange(1, 256), envvar="AUTOML_WORKERS", help="Processes that answer.")
@click.option("--name", default="model", show_default=True, help="What the model is called in URLs.")
@click.option("--model-id", default="", help="The version that answers are labelled with; else the checksum.")
@click.option(
    "--cache", "policy", type=click.Choice(["auto", "always", "never"]), help="Whether to ask a shared cache."
)
@click.option(
    "--challenger", "challengers", multiple=True, metavar="MODEL=SHARE",
    help="Another model, and its share of the requests: 0.1 is a canary, 0 a shadow. May be repeated.",
)  # fmt: skip
@click.option("--ledger", help="A FILE that keeps inputs and predictions until their truth comes (POST /labels).")
@click.option("--allow-pickle", is_flag=True, help="Load pickled members; only of a model you trust.")
def serve(
    model: str,
    host: str | None,
    port: int | None,
    workers: int | None,
    name: str,
    model_id: str,
    policy: str | None,
    challengers: tuple[str, ...],
    ledger: str | None,
    allow_pickle: bool,
) -> None:
    """Answer predictions of a saved MODEL over HTTP until Ctrl-C; see `automl plugins starlette` for all settings."""
    import logging
    import os
    from dataclasses import replace

    from automl.serving.api import run_server
    from automl.serving.environment import CHALLENGERS, read_challengers, read_options, with_services
    from automl_core.settings import load_settings

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    options = read_options(os.environ)
    options = replace(options, cache=policy or options.cache, ledger=ledger or options.ledger)
    run_server(
        model,
        host=host,
        port=port,
        workers=workers,
        name=name,
        model_id=model_id,
        allow_pickle=allow_pickle,
        options=options,
        challengers=read_challengers(challengers or os.environ.get(CHALLENGERS, "").split(",")),
        settings=with_services(load_settings()),
    )
