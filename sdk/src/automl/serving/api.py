"""A model behind HTTP: `create_app` for any ASGI server, `run_server` with workers, `app` from the environment.

`uvicorn automl.serving.api:app --workers 4` serves the model that `AUTOML_MODEL_URI` names.
"""

from __future__ import annotations

import logging
import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from automl.service import PredictionService, ServiceOptions
from automl_core.errors import PluginError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from automl.model import Model
    from automl.service import Served
    from automl_core import Cache, Settings

__all__ = ["create_app", "make_service", "run_server"]  # and `app`, made when it is asked for

NAME = "model"
log = logging.getLogger("automl.service")


def create_app(
    model: Model | str | os.PathLike[str],
    *,
    model_id: str = "",
    cache: Any = None,
    name: str = NAME,
    options: ServiceOptions | None = None,
    settings: Settings | None = None,
    allow_pickle: bool = False,
    challengers: Mapping[str, float] | None = None,
    **server: Any,
) -> Any:
    """Return an ASGI application that predicts with a model.

    Args:
        model: what `fit` gives, or a path or URI, which is read again when it changes.
        model_id: the version that answers are labelled with; empty takes the model's checksum.
        cache: an `automl_core.Cache`, or a `PredictionCache` of one.
        challengers: other models of the same name, by path or URI, and the share of requests that each answers: 0.1 for
            a canary, 0.5 for a test of A against B, 0 for a shadow, which predicts for monitors alone. As long as the
            registry has no such model, the champion takes its place.
        server: settings of the server, such as `api_keys` or `max_body`; see `automl plugins starlette`.

    Raises:
        PluginError: the server is not installed. DataError: the model cannot be read.
    """
    try:
        application = import_module("automl_starlette.app")
        kinds = import_module("automl_starlette.settings")
    except ModuleNotFoundError as error:
        if error.name != "automl_starlette":
            raise
        raise PluginError("serving needs a server: pip install 'automl-sdk[starlette]'") from error
    from automl_core.settings import validate_block

    settings = settings or _load_settings()
    service = make_service(
        model, name=name, model_id=model_id, cache=cache, options=options, settings=settings,
        allow_pickle=allow_pickle, challengers=challengers,
    )  # fmt: skip
    block = {**settings.plugins.get("starlette", {}), **server}
    return application.create_app(service, validate_block("starlette", kinds.ServerSettings, block))


def run_server(
    model: Model | str | os.PathLike[str],
    *,
    host: str | None = None,
    port: int | None = None,
    workers: int | None = None,
    model_id: str = "",
    cache: Any = None,
    name: str = NAME,
    options: ServiceOptions | None = None,
    settings: Settings | None = None,
    allow_pickle: bool = False,
    challengers: Mapping[str, float] | None = None,
    **server: Any,
) -> None:
    """Serve a model until SIGTERM or SIGINT, with the server that settings name.

    Args:
        host, port, workers: None takes the server's own settings: loopback, 8000, one worker.
        others: as for `create_app`.

    Raises:
        PluginError, SettingsError: the server is not installed, or a setting is wrong.
        ComponentUnavailable: the address is taken.
    """
    from automl.serving.workers import meeting_places
    from automl_core import Plugins

    settings = settings or _load_settings()
    told = {"host": host, "port": port, "workers": workers, **server}
    block = {**settings.plugins.get(settings.server, {}), **{k: v for k, v in told.items() if v is not None}}
    settings = settings.model_copy(update={"plugins": {**settings.plugins, settings.server: block}})
    with meeting_places(settings) as settings, Plugins(settings).build("server", settings.server) as component:
        service = make_service(
            model, name=name, model_id=model_id, cache=cache, options=options, settings=settings,
            allow_pickle=allow_pickle, challengers=challengers,
        )  # fmt: skip
        component.serve(service)


def make_service(
    model: Model | str | os.PathLike[str],
    *,
    name: str = NAME,
    model_id: str = "",
    cache: Cache | Any = None,
    options: ServiceOptions | None = None,
    settings: Settings | None = None,
    allow_pickle: bool = False,
    challengers: Mapping[str, float] | None = None,
) -> PredictionService:
    """Return a prediction service of one model and its challengers, not started; see `create_app`."""
    from automl_core import Plugins

    plugins = Plugins(settings or _load_settings())
    service = PredictionService(plugins, options=options, cache=getattr(cache, "cache", cache))
    champion = service.add(model, name=name, version=model_id, allow_pickle=allow_pickle)
    if challengers:
        instead = os.fspath(model) if isinstance(model, str | os.PathLike) else ""
        _challenge(service, champion, challengers, allow_pickle, instead)
    return service


def _challenge(
    service: PredictionService, champion: Served, challengers: Mapping[str, float], allow_pickle: bool, instead: str
) -> None:
    rest = 1 - sum(challengers.values())
    if min(challengers.values()) < 0 or rest <= 0:
        raise SettingsError(f"the challengers' shares {dict(challengers)} must be 0 or more, and sum to less than 1.")
    weights, shadows = {champion.version: rest}, []
    for number, (place, share) in enumerate(challengers.items(), 1):
        slot = "challenger" if number == 1 else f"challenger{number}"
        added = service.add(place, name=champion.name, allow_pickle=allow_pickle, slot=slot, instead=instead)
        if added.token == champion.token:
            log.warning("the challenger %s is the champion itself as yet", place)
        version = added.version
        if share:
            weights[version] = share
        else:
            shadows.append(version)
    service.route(champion.name, weights, shadows=shadows)


def _load_settings() -> Settings:
    from automl_core.settings import load_settings

    return load_settings()


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from automl.serving.environment import read_environment

    asked = read_environment()
    made = create_app(
        asked.model, model_id=asked.model_id, options=asked.options, settings=asked.settings,
        challengers=asked.challengers,
    )  # fmt: skip
    globals()["app"] = made  # one application, however often it is looked up
    return made
