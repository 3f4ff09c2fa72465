"""Which Ray cluster to use, and what a fit reserves there."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from automl_core import PluginSettings

__all__ = ["RaySettings", "RayTuneSettings"]


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


class RayTuneSettings(PluginSettings):
    """How Ray Tune searches; times are in seconds."""

    ray_address: str | None = Field(
        default=None, description="auto, host:6379 or ray://host:10001; none starts Ray on this machine, on loopback."
    )
    num_cpus: int = Field(default=-1, ge=-1, description="CPUs to use; -1 takes all that there are, also later on.")
    num_gpus: int = Field(
        default=0, ge=-1, description="GPUs to use, shared by the trials that run at once; -1 takes all."
    )
    num_samples: int = Field(
        default=100, ge=1, description="Configurations to try at most, those of learners included."
    )
    max_concurrent_trials: int | None = Field(
        default=None, ge=1, description="Trials at once; none: as many as there is room for."
    )
    scheduler: Literal["asha", "hyperband", "median", "fifo", "pbt"] = Field(
        default="asha",
        description="What stops trials early by the folds that they have: asha, hyperband, median; fifo: nothing.",
    )
    search_algorithm: Literal["optuna", "random"] = Field(default="optuna", description="optuna (TPE) or random.")
    cpus_per_trial: float = Field(default=1.0, gt=0, description="CPUs that each trial reserves.")
    max_failures: int = Field(default=2, ge=0, description="How often a trial is run again whose worker or node died.")
    storage_path: str | None = Field(
        default=None, description="Where Ray Tune writes; none: a folder that goes with the study."
    )
    timeout: float = Field(default=60.0, gt=0, description="How long to wait for the cluster's first room for a trial.")

    @model_validator(mode="after")
    def _check_scheduler(self) -> Self:
        if self.scheduler == "pbt":
            raise ValueError(
                "scheduler pbt changes the parameters of a trial while it runs, but a trial here is one configuration on "
                "several folds. Use asha, hyperband or median to stop bad trials early."
            )
        return self

    @property
    def concurrency(self) -> int | None:
        """Trials at once by both limits; None without one."""
        limits = [self.max_concurrent_trials] if self.max_concurrent_trials else []
        if self.num_cpus > 0:
            limits.append(max(1, int(self.num_cpus / self.cpus_per_trial)))
        return min(limits, default=None)
