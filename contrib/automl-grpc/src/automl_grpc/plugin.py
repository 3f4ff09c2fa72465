"""The server `grpc`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from automl_core import Context, Provider, Server, hookimpl

if TYPE_CHECKING:
    from automl_core import PluginSettings


def _settings() -> type[PluginSettings]:
    from automl_grpc.settings import GrpcSettings

    return GrpcSettings


def build_server(context: Context) -> Server:
    from automl_grpc.server import GrpcServer
    from automl_grpc.settings import GrpcSettings

    return GrpcServer(context.settings(GrpcSettings))


@hookimpl
def automl_servers() -> Iterable[Provider[Server]]:
    yield Provider("grpc", build_server, "Answer the Open Inference Protocol over gRPC.", _settings)
