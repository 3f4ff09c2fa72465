"""Which Dask cluster to use."""

from __future__ import annotations

from pydantic import Field

from automl_core import PluginSettings

__all__ = ["DaskSettings"]


class DaskSettings(PluginSettings):
    """Times are in seconds. Certificates come from Dask's own configuration (`DASK_DISTRIBUTED__COMM__TLS__...`)."""

    address: str | None = Field(None, description="The scheduler, such as tcp://host:8786; none starts workers here.")
    workers: int | None = Field(None, ge=1, description="How many workers to start, or to wait for at an address.")
    threads_per_worker: int = Field(1, ge=1, description="Threads of each worker that is started here.")
    memory_limit: str | None = Field(None, description="Memory of each worker that is started here, such as 4GiB.")
    timeout: float = Field(60.0, gt=0, description="How long to wait for the scheduler and its first worker.")
    grace: float = Field(5.0, ge=0, description="How long closing waits for what still runs.")
