"""The server `starlette`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from automl_core import Context, Provider, Server, hookimpl

if TYPE_CHECKING:
    from automl_core import PluginSettings


def _settings() -> type[PluginSettings]:
    from automl_starlette.settings import ServerSettings

    return ServerSettings


def build_server(context: Context) -> Server:
    from automl_starlette.server import StarletteServer
    from automl_starlette.settings import ServerSettings

    return StarletteServer(context.settings(ServerSettings))


@hookimpl
def automl_servers() -> Iterable[Provider[Server]]:
    yield Provider("starlette", build_server, "Answer over HTTP, with a worker per core.", _settings)
