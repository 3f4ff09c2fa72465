"""Which Ray cluster to use, and what a fit reserves there."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from automl_core import PluginSettings

__all__ = ["RaySettings"]


class RaySettings(PluginSettings):
    """Times are in seconds, sizes in bytes."""

    address: str | None = Field(
        None, description="auto, host:6379 or ray://host:10001; none starts Ray on this machine, on loopback."
    )
    cpus: int | None = Field(None, ge=1, description="CPUs of a Ray that is started here.")
    gpus: int | None = Field(None, ge=0, description="GPUs of a Ray that is started here; none looks for them.")
    object_store_bytes: int | None = Field(None, ge=1 << 26, description="Shared memory of a Ray that is started here.")
    cpus_per_trial: float = Field(1.0, gt=0, description="CPUs that each fit reserves.")
    gpus_per_trial: float = Field(0.0, ge=0, description="GPUs that each fit reserves, or a fraction of one.")
    memory_per_trial: int | None = Field(None, ge=1, description="Memory that each fit reserves.")
    concurrency: int | None = Field(
        None, ge=1, description="Fits at once, for a cluster that grows by demand; none: as many as there is room for."
    )
    retries: int = Field(2, ge=0, description="How often a fit is run again whose worker or node died.")
    runtime_env: dict[str, Any] = Field(
        default_factory=dict, description="What workers get before they start: Ray's runtime_env, such as py_modules."
    )
    timeout: float = Field(60.0, gt=0, description="How long to wait for the cluster's first room for a trial.")
    grace: float = Field(5.0, ge=0, description="How long closing waits for what still runs.")
