"""A model in service: where it came from, what it is called, and what it costs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from statistics import median
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.artifact import load_model
from automl.service.card import example_row
from automl_core import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from automl.model import Model

__all__ = ["Served", "Source", "serve_model"]

REPEATS, MANY = 15, 256


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from.

    Attributes:
        locate: returns the path, which an alias of a registry may change from one call to the next.
        allow_pickle: see `automl.load_model`. key: a signature by it is required.
        slot: begins each version's label, so that the same model in two slots is two versions; empty for none.
    """

    locate: Callable[[], str]
    version: str = ""
    allow_pickle: bool = False
    key: bytes | None = None
    slot: str = ""

    def fingerprint(self) -> tuple[Any, ...]:
        """Return what differs when the model differs; cheap.

        Raises:
            OSError: the file is not there.
            KeyError: the registry has no such model.
        """
        path = self.locate()
        if "://" in path:
            return (path,)
        stat = Path(path).stat()
        return path, stat.st_mtime_ns, stat.st_size, stat.st_ino


class Served:
    """One version of a model; all but the measured costs never changes.

    Attributes:
        token: 16 bytes that differ between models: cached predictions are kept under it.
        fingerprint: of the source when it was read.
        classes: the labels as plain values; empty for regression.
        one, row: seconds that predicting a single row takes, and a row among many; 0 before `measure`.
    """

    __slots__ = ("classes", "fingerprint", "loaded", "model", "name", "one", "row", "source", "token", "version")

    def __init__(
        self,
        name: str,
        version: str,
        model: Model,
        token: bytes,
        *,
        source: Source | None = None,
        fingerprint: tuple[Any, ...] = (),
    ) -> None:
        self.name, self.version, self.model, self.token = name, version, model, token
        self.source, self.fingerprint = source, fingerprint
        self.classes: list[Any] = model.classes_.tolist()
        self.loaded, self.one, self.row = time(), 0.0, 0.0

    def __repr__(self) -> str:
        return f"<Served {self.name}@{self.version}: {self.model!r}>"

    def measure(self) -> None:
        """Take the time of predictions; also warms up. Not before a fork: members without a flat form start threads."""
        model = self.model
        row = example_row(model)
        one = model.encoder.encode(row) if row else np.zeros((1, len(model.encoder.columns)), dtype=np.float32)
        many = np.repeat(one, MANY, axis=0)
        self.one = _median_seconds(lambda: model.predictor.predict(one))
        self.row = _median_seconds(lambda: model.predictor.predict(many), repeats=3) / MANY

    @classmethod
    def load(cls, name: str, source: Source, *, reloaded: bool = False) -> Served:
        """Read a model from its source.

        Raises:
            DataError: see `automl.load_model`.
        """
        for _ in range(3):
            before = _fingerprint(source)
            path = before[0]
            model = load_model(path, allow_pickle=source.allow_pickle, key=source.key)
            token = blake2b(_content(path), digest_size=16).digest()
            if _fingerprint(source) == before:
                break
        else:
            raise DataError(f"the model at {path} keeps changing while it is read; try again when it is written.")
        short = token.hex()[:8]
        version = f"{source.version}-{short}" if source.version and reloaded else source.version or short
        version = f"{source.slot}-{short}" if source.slot else version
        return cls(name, version, model, token, source=source, fingerprint=before)


def serve_model(name: str, model: Model, version: str) -> Served:
    """Return a model that is in memory already as a served one."""
    from automl.artifact.save import dump_model

    try:
        token = blake2b(dump_model(model), digest_size=16).digest()
    except DataError:
        token = os.urandom(16)  # a member without a form in a file: nobody else can have the same model
    return Served(name, version or token.hex()[:8], model, token)


def _fingerprint(source: Source) -> tuple[Any, ...]:
    try:
        return source.fingerprint()
    except OSError as error:
        raise DataError(f"the model cannot be read: {error}") from error
    except KeyError as error:  # the registry has no such name, version or alias
        raise DataError(f"there is no such model: {error.args[0]}") from error


def _content(path: str) -> bytes:
    from automl.artifact.place import read_bytes

    return read_bytes(path)


def _median_seconds(call: Callable[[], object], *, repeats: int = REPEATS) -> float:
    taken = []
    for _ in range(repeats):
        start = perf_counter()
        call()
        taken.append(perf_counter() - start)
        if sum(taken) > 1:  # a model this slow is known well enough
            break
    return median(taken)
