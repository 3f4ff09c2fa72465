"""The executor `dask`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from automl_core import Context, Executor, Provider, hookimpl

if TYPE_CHECKING:
    from automl_core import PluginSettings


def _settings() -> type[PluginSettings]:
    from automl_dask.settings import DaskSettings

    return DaskSettings


def build_executor(context: Context) -> Executor:
    from automl_dask.cluster import Cluster
    from automl_dask.executor import DaskExecutor
    from automl_dask.settings import DaskSettings

    settings = context.settings(DaskSettings)
    cluster = Cluster(
        settings.address,
        workers=settings.workers if settings.address else settings.workers or context.threads,
        threads_per_worker=settings.threads_per_worker,
        memory_limit=settings.memory_limit,
        timeout=settings.timeout,
        as_default=False,
    )
    return DaskExecutor(cluster, grace=settings.grace)


@hookimpl
def automl_executors() -> Iterable[Provider[Executor]]:
    yield Provider("dask", build_executor, "Run trials on a Dask cluster.", _settings)
