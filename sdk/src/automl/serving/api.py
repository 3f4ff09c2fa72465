"""A model behind HTTP: `create_app` for any ASGI server, `run_server` with workers, `app` from the environment.

`uvicorn automl.serving.api:app --workers 4` serves the model that `AUTOML_MODEL_URI` names.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from automl.service import PredictionService, ServiceOptions
from automl_core.errors import PluginError

if TYPE_CHECKING:
    from automl.model import Model
    from automl_core import Cache, Settings

__all__ = ["create_app", "make_service", "run_server"]  # and `app`, made when it is asked for

NAME = "model"


def create_app(
    model: Model | str | os.PathLike[str],
    *,
    model_id: str = "",
    cache: Any = None,
    name: str = NAME,
    options: ServiceOptions | None = None,
    settings: Settings | None = None,
    allow_pickle: bool = False,
    **server: Any,
) -> Any:
    """Return an ASGI application that predicts with a model.

    Args:
        model: what `fit` gives, or a path or URI, which is read again when it changes.
        model_id: the version that answers are labelled with; empty takes the model's checksum.
        cache: an `automl_core.Cache`, or a `PredictionCache` of one.
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
        model, name=name, model_id=model_id, cache=cache, options=options, settings=settings, allow_pickle=allow_pickle
    )
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
            allow_pickle=allow_pickle,
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
) -> PredictionService:
    """Return a prediction service of one model, not started; see `create_app`."""
    from automl_core import Plugins

    plugins = Plugins(settings or _load_settings())
    service = PredictionService(plugins, options=options, cache=getattr(cache, "cache", cache))
    service.add(model, name=name, version=model_id, allow_pickle=allow_pickle)
    return service


def _load_settings() -> Settings:
    from automl_core.settings import load_settings

    return load_settings()


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from automl.serving.environment import read_environment

    asked = read_environment()
    made = create_app(asked.model, model_id=asked.model_id, options=asked.options, settings=asked.settings)
    globals()["app"] = made  # one application, however often it is looked up
    return made
