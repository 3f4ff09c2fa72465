"""The components that settings select: each is built, asked, and closed."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from automl.doctor.asked import Asked
from automl_core.diagnosis import ABSENT, FAILED, OK, Diagnoses, Finding
from automl_core.errors import AutoMLError
from automl_core.kinds import Cache, Component, Executor, Storage

__all__ = ["check_parts"]

TRAINING = {"storage": "storage", "executor": "executor", "search": "search", "learner": "learners"}
SERVING = {"cache": "cache", "server": "server", "monitor": "monitors"}
BOTH = {"tracker": "trackers"}
WAIT = 60.0  # seconds; a cluster may start a worker for the first task


@dataclass(frozen=True, slots=True)
class Wanted:
    """A line of the production guide's checklist that is about a component.

    Attributes:
        choices: settings, and the word that one of them is to have.
        remedy: what to do where none has it.
        diagnosed: whether the component has this line in its diagnosis: where it cannot be built, the line fails with it.
    """

    choices: Mapping[str, str]
    remedy: str
    diagnosed: bool = False


WANTED: Mapping[str, Wanted] = {
    "Ray cluster": Wanted(
        {"executor": "ray", "search": "raytune"},
        "AUTOML_EXECUTOR=ray or AUTOML_SEARCH=raytune, and the address of their plugin; deploy/README.md#ray",
        diagnosed=True,
    ),
    "Dask cluster": Wanted(
        {"executor": "dask"}, "AUTOML_EXECUTOR=dask and its address; deploy/README.md#dask", diagnosed=True
    ),
    "MLflow": Wanted(
        {"trackers": "mlflow"},
        "AUTOML_TRACKERS=mlflow and MLFLOW_TRACKING_URI; deploy/README.md#mlflow",
        diagnosed=True,
    ),
    "Redis": Wanted({"cache": "redis"}, "REDIS_HOST; deploy/README.md#redis"),
    "metrics": Wanted({"monitors": "prometheus"}, "AUTOML_MONITORS=prometheus,drift"),
    "drift detection": Wanted({"monitors": "drift"}, "AUTOML_MONITORS=prometheus,drift"),
}


def check_parts(asked: Asked) -> Iterator[Finding]:
    """Build what the settings name, and say what of the guide they do not name."""
    fields = {**(TRAINING if asked.trains else {}), **(SERVING if asked.serves else {}), **BOTH}
    for kind, field in fields.items():
        for word in _words(getattr(asked.settings, field)):
            diagnosed = [
                line
                for line, wanted in WANTED.items()
                if wanted.diagnosed and wanted.choices.get(field) == word.partition(".")[0]
            ]
            yield from _check(asked, kind, word, diagnosed)
    for line, wanted in WANTED.items():
        named = {field: _words(getattr(asked.settings, field)) for field in wanted.choices if field in fields.values()}
        if named and not any(w.partition(".")[0] == wanted.choices[f] for f, words in named.items() for w in words):
            said = ", ".join(f"{field} is {', '.join(words) or 'empty'}" for field, words in named.items())
            yield Finding(line, ABSENT, said, wanted.remedy)


def _words(named: str | Sequence[str]) -> Sequence[str]:
    return (named,) if isinstance(named, str) else named


def _check(asked: Asked, kind: str, word: str, diagnosed: Sequence[str]) -> Iterator[Finding]:
    """Build a component, ask it, close it; `diagnosed` are the lines of the guide that it would have."""
    try:
        built = asked.plugins.build_all(kind, [word])
    except AutoMLError as error:
        remedy = f"See `automl plugins` and `automl plugins {word.partition('.')[0]}`."
        for line in (f"{kind} {word}", *diagnosed):
            yield Finding(line, FAILED, str(error), remedy)
        return
    try:
        for full, component in built.items():
            yield from _ask(f"{kind} {full}", component)
    finally:
        for component in built.values():
            component.close()


def _ask(name: str, component: Component) -> Iterator[Finding]:
    try:
        yield _use(name, component)
        if isinstance(component, Diagnoses):
            yield from component.diagnose()
    except Exception as error:  # noqa: BLE001 - whatever its library raises is what is wrong with it
        said = str(error) if isinstance(error, AutoMLError) else f"{type(error).__name__}: {error}"
        yield Finding(name, FAILED, said, "See that its service runs, and that this machine may reach it.")


def _use(name: str, component: Component) -> Finding:
    """Use a component for what it is for; one that has nothing to try answers to `ping` where it has that."""
    uses: dict[type[Component], Callable[[Any], tuple[bool, str]]] = {
        Storage: _use_storage,
        Executor: _use_executor,
        Cache: _use_cache,
    }
    started = perf_counter()
    for kind, use in uses.items():
        if isinstance(component, kind):
            good, said = use(component)
            took = f"{said} in {1e3 * (perf_counter() - started):.1f} ms"
            return Finding(name, OK, took) if good else Finding(name, FAILED, said, "See the log of its service.")
    ping = getattr(component, "ping", None)
    if not callable(ping):
        return Finding(name, OK, "loads")
    ping()
    return Finding(name, OK, f"answers in {1e3 * (perf_counter() - started):.1f} ms")


def _use_storage(storage: Storage) -> tuple[bool, str]:
    key, data = f"doctor/{secrets.token_hex(8)}", secrets.token_bytes(1024)
    storage.put(key, data)
    try:
        with storage.open(key) as stream:
            same = stream.read() == data
    finally:
        storage.delete(key)
    return same, "writes, reads and deletes" if same else "what was read is not what was written"


def _use_executor(executor: Executor) -> tuple[bool, str]:
    answer = executor.submit(pow, 2, 10).result(WAIT)
    return answer == 1024, f"{executor.capacity} at a time, runs a task"


def _use_cache(cache: Cache) -> tuple[bool, str]:
    key, value = f"doctor-{secrets.token_hex(8)}", secrets.token_bytes(64)
    cache.set(key, value, ttl=60)
    found = cache.get(key)
    cache.delete(key)
    return found == value, "keeps and forgets a key" if found == value else "what was set is not there"
