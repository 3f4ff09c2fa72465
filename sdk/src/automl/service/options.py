"""What a prediction service may be told."""

from __future__ import annotations

from dataclasses import dataclass

from automl_core import SettingsError

__all__ = ["ServiceOptions"]

POLICIES = ("auto", "always", "never")


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """How a service limits, caches and reloads.

    Attributes:
        max_rows: of one request.
        deadline: seconds after which an answer that is still queued is of no use; also bounds the queue: what would
            wait longer is refused at once.
        cache: "auto" asks the second cache only where a prediction costs more than five lookups, by measurement;
            "always", "never". The cache in this process comes first in every case.
        cache_ttl: seconds that the second cache keeps a prediction.
        local_rows: how many rows the cache in this process keeps at most; 0 for none.
        batch_above: seconds; a model whose single prediction takes longer is run in batches of what has queued up while
            the last one ran. There is no waiting for a batch to fill.
        reload_seconds: how often files and aliases of models are looked at, and, a twelfth as often, the journal of
            retraining; 0 for never.
        sample_rows: how many rows a second of each model monitors see; of the others they are told counts and latencies.
        max_events: how many requests wait for monitors before some are dropped.
        ledger: a file that keeps inputs and predictions until their truth comes, for monitors and later fits; empty for
            none. Workers share it.
        ledger_requests: how many requests it keeps.
    """

    max_rows: int = 100_000
    deadline: float = 10.0
    cache: str = "auto"
    cache_ttl: float = 300.0
    local_rows: int = 20_000
    batch_above: float = 100e-6
    reload_seconds: float = 5.0
    sample_rows: int = 1_000
    max_events: int = 10_000
    ledger: str = ""
    ledger_requests: int = 1_000_000

    def __post_init__(self) -> None:
        if self.cache not in POLICIES:
            raise SettingsError(f"the cache policy {self.cache!r} is unknown; it is one of: {', '.join(POLICIES)}.")
        for name in ("max_rows", "deadline", "cache_ttl", "batch_above", "max_events", "ledger_requests"):
            if getattr(self, name) <= 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be greater than 0.")
        for name in ("local_rows", "reload_seconds", "sample_rows"):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must not be negative.")
