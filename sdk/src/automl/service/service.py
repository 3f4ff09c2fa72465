"""The prediction service: whatever the wire, this is what answers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from automl.artifact.registered import locator
from automl.model import Model
from automl.retrain.following import Follower
from automl.service.alerts import Alerts
from automl.service.answers import Answer, Overloaded, TooManyRows, Unknown
from automl.service.batching import Batcher
from automl.service.card import describe_model
from automl.service.counters import Counters
from automl.service.events import EventPump
from automl.service.known import KnownRows, to_said
from automl.service.ledger import Ledger
from automl.service.options import ServiceOptions
from automl.service.routes import Route, make_route
from automl.service.rows import RowCache
from automl.service.second import SecondCache
from automl.service.served import Served, Source, serve_model
from automl.service.watching import Watcher
from automl_core import Component, DataError, Plugins

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_core import Cache, Monitor

__all__ = ["PredictionService"]

INLINE = 0.005  # seconds; a request that takes longer goes to the thread, and leaves the caller free


class PredictionService(Component):
    """Owns loaded models and answers for them; thread-safe.

    Models may be added before or after `start`; a process that forks workers adds them first, so that workers share
    their memory, and calls `start` in each worker: threads and connections do not survive a fork.

    Args:
        plugins: where monitors, a cache and a registry come from; None uses none.
        cache: beyond this process; None takes the one that the settings of `plugins` name.
    """

    def __init__(
        self,
        plugins: Plugins | None = None,
        *,
        options: ServiceOptions | None = None,
        cache: Cache | None = None,
        counters: Counters | None = None,
    ) -> None:
        self.plugins, self.options = plugins, options or ServiceOptions()
        self.counters = counters or Counters()
        self.monitors: Mapping[str, Monitor] = {}
        self.alerts = Alerts({}, None)
        self.ledger = Ledger(self.options.ledger, limit=self.options.ledger_requests) if self.options.ledger else None
        self.known = KnownRows(
            RowCache(self.options.local_rows),
            batch_above=self.options.batch_above,
            found=lambda hits: self.counters.add("remote_hits", hits),
        )
        self._given_cache, self.known.second = cache, None if cache is None else self._second(cache)
        self._routes: dict[str, Route] = {}
        self._default = ""
        self._lock = Lock()
        self._pump: EventPump | None = None
        self._batcher: Batcher | None = None
        self._watcher: Watcher | None = None
        self._follower: Follower | None = None

    # ---- models

    def add(
        self,
        model: Model | str | os.PathLike[str],
        *,
        name: str = "model",
        version: str = "",
        allow_pickle: bool = False,
        key: bytes | None = None,
        slot: str = "",
        instead: str = "",
    ) -> Served:
        """Serve a model, or the file or URI of one, which is read again when it changes.

        The first version of a name gets all its requests; further ones get those that ask for them, and what `route`
        gives them. The first name is the default.

        Args:
            model: what `fit` gives, or a path, a URI, or `models:/name@alias` of the registry in the settings.
            version: what answers are labelled with; empty takes the first digits of the model's checksum.
            slot: of a file or URI, in place of a version: labels are this and those digits. Aliases that may come to
                point at one model, as champion and challenger do, need slots, or one takes the place of the other.
            instead: path or URI of a model that stands in as long as the registry does not have this one.

        Raises:
            DataError: see `automl.load_model`.
        """
        if isinstance(model, str | os.PathLike):
            source = Source(locator(os.fspath(model), self.plugins, instead=instead), version, allow_pickle, key, slot)
            served = Served.load(name, source)
        else:
            served = serve_model(name, getattr(model, "model_", model), version)
        if self.started:
            served.measure()
        with self._lock:
            old = self._routes.get(name)
            versions = {**(old.versions if old else {}), served.version: served}
            weights = _weights(old) if old else {served.version: 1.0}
            shadows = [s.version for s in old.shadows] if old else []
            self._routes = {**self._routes, name: make_route(versions, weights, shadows)}
            self._default = self._default or name
            if self._watcher is not None:
                self._watcher.start()
        return served

    def remove(self, name: str, version: str) -> None:
        """Stop serving a version.

        Raises:
            Unknown: there is no such version.
            SettingsError: it still gets requests; `route` them elsewhere first.
        """
        self.find(name, version)
        with self._lock:
            route = self._routes[name]
            versions = {v: s for v, s in route.versions.items() if v != version}
            shadows = [s.version for s in route.shadows if s.version != version]
            self._routes = {**self._routes, name: make_route(versions, _weights(route), shadows)}

    def route(self, name: str, weights: Mapping[str, float], *, shadows: Sequence[str] = ()) -> None:
        """Share the requests that name no version among versions, by weight; shadows predict too, for monitors alone.

        Raises:
            Unknown: there is no such model.
            SettingsError: a version is unknown, or a weight is not positive.
        """
        with self._lock:
            route = self._route(name)
            self._routes = {**self._routes, name: make_route(route.versions, weights, shadows)}

    def replace(self, old: Served, new: Served) -> None:
        """Let a new version take the place of an old one, between two requests."""
        if self.started:
            new.measure()
        with self._lock:
            route = self._routes[old.name]
            named = {old.version: new.version}
            versions = {named.get(v, v): new if v == old.version else s for v, s in route.versions.items()}
            weights = {named.get(v, v): weight for v, weight in _weights(route).items()}
            shadows = [named.get(s.version, s.version) for s in route.shadows]
            self._routes = {**self._routes, old.name: make_route(versions, weights, shadows)}
        self.counters.add("reloads")

    def models(self) -> list[Served]:
        """Return every version in service, by name."""
        return [served for route in list(self._routes.values()) for served in route.versions.values()]

    def find(self, name: str = "", version: str = "", *, key: str = "") -> Served:
        """Return the version that answers a request.

        Args:
            key: requests with the same one get the same version, as long as weights stay.

        Raises:
            Unknown: there is no such model or version.
        """
        route = self._route(name)
        if not version:
            return route.choose(key)
        try:
            return route.versions[version]
        except KeyError:
            listed = ", ".join(sorted(route.versions))
            raise Unknown(f"the model {name!r} has no version {version!r}; it has: {listed}.") from None

    def describe(self, served: Served) -> dict[str, Any]:
        """Return the card of a model in service, plain data."""
        return describe_model(served)

    def _route(self, name: str) -> Route:
        try:
            return self._routes[name or self._default]
        except KeyError:
            listed = ", ".join(sorted(self._routes)) or "none"
            raise Unknown(
                f"there is no model {name!r}; there are: {listed}." if name else "no model is loaded."
            ) from None

    # ---- life

    @property
    def started(self) -> bool:
        return self._batcher is not None

    def start(self) -> None:
        """Start threads, monitors and the cache, read changed models, and warm up; harmless when called again.

        Raises:
            PluginError, SettingsError, ComponentUnavailable: a monitor, a listener or the cache cannot be built.
        """
        if self.started:
            return
        if self.plugins is not None:
            self.plugins.ready()
            self.monitors = self.plugins.build_all("monitor", self.plugins.settings.monitors)
            self.alerts = Alerts(self.monitors, self.plugins)
            seconds = 12 * self.options.reload_seconds
            self._follower = Follower.of_settings(self.plugins, self.monitors.values(), seconds=seconds)
            # The cache in this process is always there: "memory" would be a second one of the same kind.
            if self.known.second is None and self.plugins.settings.cache != "memory":
                self.known.second = self._second(self.plugins.build("cache", self.plugins.settings.cache))
        self._watcher = Watcher(self, self.options.reload_seconds)
        self._watcher.look()
        for served in self.models():
            served.measure()
        if self.known.second is not None and self.options.cache != "never":
            self.known.second.measure()
        if self.monitors or self.ledger or self._has_shadows():
            self._pump = self._make_pump()
        self._batcher = Batcher(self.known.predict)
        self._watcher.start()

    def close(self) -> None:
        """Answer what waits, tell monitors what is left, and let everything go."""
        if self._watcher is not None:
            self._watcher.close()
        if self._batcher is not None:
            self._batcher.close()
        if self._pump is not None:
            self._pump.close()
        if self._follower is not None:
            self._follower.close()
        for monitor in self.monitors.values():
            monitor.close()
        if self.ledger is not None:
            self.ledger.close()
        if self.known.second is not None and self._given_cache is None:
            self.known.second.cache.close()
            self.known.second = None
        self._watcher = self._batcher = self._pump = self._follower = None
        self.monitors = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def _second(self, cache: Cache) -> SecondCache:
        return SecondCache(cache, policy=self.options.cache, ttl=self.options.cache_ttl)

    def _has_shadows(self) -> bool:
        return any(route.shadows for route in self._routes.values())

    def _make_pump(self) -> EventPump:
        return EventPump(
            list(self.monitors.values()),
            limit=self.options.max_events,
            sample_rows=self.options.sample_rows,
            dropped=lambda count: self.counters.add("dropped_events", count),
            ledger=self.ledger,
            models=self.models,
        )

    def _start_pump(self) -> None:
        with self._lock:
            if self._pump is None:
                self._pump = self._make_pump()

    # ---- predict

    def predict(self, data: Any, *, name: str = "", version: str = "", key: str = "", request_id: str = "") -> Answer:
        """Predict rows, and wait for the answer.

        Args:
            data: whatever `Model.predict` takes but a path.
            request_id: under which `label` takes the truth later, where the options name a ledger.

        Raises:
            DataError: the model cannot take the data. Unknown: there is no such model. TooManyRows. Overloaded.
            Expired: the rows waited for longer than the deadline.
        """
        answer = self.begin(data, name=name, version=version, key=key, request_id=request_id)
        return answer.result() if isinstance(answer, Future) else answer

    def begin(
        self,
        data: Any,
        *,
        name: str = "",
        version: str = "",
        key: str = "",
        served: Served | None = None,
        deadline: float | None = None,
        request_id: str = "",
    ) -> Answer | Future[Answer]:
        """Predict rows at once where that is fast, else return the future of an answer; raises as `predict`.

        Args:
            served: what `find` chose for this request before, where the caller needed to know.
        """
        if self._batcher is None:
            self.start()
        started = perf_counter()
        served = served or self.find(name, version, key=key)
        if isinstance(data, list) and len(data) > self.options.max_rows:
            raise TooManyRows(f"the request has {len(data)} rows; at most {self.options.max_rows} are allowed.")
        values = served.model.encoder.encode(data)
        rows = len(values)
        if rows > self.options.max_rows:
            raise TooManyRows(f"the request has {rows} rows; at most {self.options.max_rows} are allowed.")
        answer = self._at_once(served, values, rows)
        if answer is not None:
            self._count(answer, data, started, request_id)
            return answer
        return self._later(served, values, (data, started, request_id), deadline or self.options.deadline)

    def _at_once(self, served: Served, values: NDArray[np.float32], rows: int) -> Answer | None:
        """Answer what is known or fast; None for what belongs to the thread."""
        key, local = b"", self.known.local
        if rows == 1 and local.limit:
            key = served.token + values.tobytes()
            known = local.get(key)
            if known is not None:
                return Answer(served, to_said([known], served), 1)
        if served.one > self.options.batch_above or served.row * rows > INLINE or self.known.asks_second(served):
            return None
        said = served.model.predictor.predict(values)
        if key:
            local.set(key, said.tobytes())
        return Answer(served, said)

    def _later(
        self, served: Served, values: NDArray[np.float32], asked: tuple[Any, float, str], deadline: float
    ) -> Future[Answer]:
        assert self._batcher is not None  # noqa: S101 - `begin` starts
        try:
            future = self._batcher.submit(served, values, deadline=deadline)
        except Overloaded:
            self.counters.add("refused")
            raise
        self.counters.set("pending_rows", self._batcher.rows)
        future.add_done_callback(lambda done: self._done(done, asked))
        return future

    def _done(self, future: Future[Answer], asked: tuple[Any, float, str]) -> None:
        if self._batcher is not None:
            self.counters.set("pending_rows", self._batcher.rows)
        if not future.cancelled() and future.exception() is None:
            self._count(future.result(), *asked)

    def _count(self, answer: Answer, data: Any, started: float, request_id: str) -> None:
        seconds = perf_counter() - started
        self.counters.add_rows(len(answer.said), answer.hits)
        shadows = self._routes[answer.served.name].shadows
        if shadows and self._pump is None:
            self._start_pump()
        if self._pump is not None:
            self._pump.add(answer, data, seconds, shadows, request_id)

    def label(self, truths: Mapping[str, Any]) -> dict[str, int]:
        """Say what was true of requests that were answered, by request id; see `Ledger.label`.

        Args:
            truths: a value for a request of one row, else a list with a value per row.

        Raises:
            DataError: the options name no ledger, or a label does not fit its request; then none is taken.
            ComponentUnavailable: the ledger cannot be written.
        """
        if self.ledger is None:
            raise DataError("this service keeps no predictions to join labels with: name a file as its ledger.")
        listed = [(request, truth if isinstance(truth, list) else [truth]) for request, truth in truths.items()]
        counts, joined = self.ledger.label(listed)
        if self._pump is not None:
            self._pump.join(joined)
        return counts

    def failed(self, name: str, kind: str) -> None:
        """Count a request that got no answer, and tell monitors."""
        self.counters.add("errors")
        if self._pump is not None:
            self._pump.fail(name or self._default, kind)


def _weights(route: Route) -> dict[str, float]:
    starts = (0.0, *route.bounds)
    return {served.version: route.bounds[i] - starts[i] for i, served in enumerate(route.shares)}
