"""The executor `ray` and the search `raytune`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from automl_core import Context, Executor, Provider, Search, hookimpl

if TYPE_CHECKING:
    from automl_core import PluginSettings


def _ray_settings() -> type[PluginSettings]:
    from automl_ray.settings import RaySettings

    return RaySettings


def _raytune_settings() -> type[PluginSettings]:
    from automl_ray.settings import RayTuneSettings

    return RayTuneSettings


def build_executor(context: Context) -> Executor:
    from automl_ray.cluster import Cluster
    from automl_ray.executor import RayExecutor
    from automl_ray.settings import RaySettings

    settings = context.settings(RaySettings)
    cluster = Cluster(
        settings.address,
        cpus=settings.cpus or context.threads,
        gpus=settings.gpus,
        object_store_bytes=settings.object_store_bytes,
        runtime_env=settings.runtime_env,
        timeout=settings.timeout,
    )
    return RayExecutor(
        cluster,
        cpus=settings.cpus_per_trial,
        gpus=settings.gpus_per_trial,
        memory=settings.memory_per_trial,
        concurrency=settings.concurrency,
        retries=settings.retries,
        grace=settings.grace,
    )


def build_search(context: Context) -> Search:
    from automl_ray.optimizer import RayTuneOptimizer
    from automl_ray.settings import RayTuneSettings

    return RayTuneOptimizer(context.settings(RayTuneSettings), cpus=context.threads)


@hookimpl
def automl_executors() -> Iterable[Provider[Executor]]:
    yield Provider("ray", build_executor, "Run trials as tasks of a Ray cluster.", _ray_settings)


@hookimpl
def automl_searches() -> Iterable[Provider[Search]]:
    yield Provider("raytune", build_search, "Let Ray Tune search, and stop bad trials early.", _raytune_settings)
