"""Predictions from files to files, part by part, on any executor; a run that was killed goes on."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.artifact.place import write_bytes
from automl.large.batches import batch_rows
from automl.large.memory import memory_limit
from automl.large.parts import Found, Part, find_files, open_parts
from automl.places import storage_at
from automl.study.frame import Here
from automl.table import open_table
from automl_core import DataError, Shares

if TYPE_CHECKING:
    import pyarrow as pa

    from automl.model import Model
    from automl_core import Executor, Plugins

__all__ = ["Predicted", "predict_files"]

PART_ROWS = 1 << 20  # input rows of a task, as far as files can be cut
RECORD = "_predictions.json"  # readers of data sets pass over names that begin so
EVERY = 1.0  # seconds between two records of what is done
log = logging.getLogger("automl.large")


@dataclass(frozen=True, slots=True)
class Predicted:
    """What `predict_files` wrote.

    Attributes:
        rows: predicted, those of earlier runs included; files: read.
        parts: tasks; resumed: how many of these an earlier run had done.
        bad_files: what is said of each file that was left out, or read up to where it is damaged.
    """

    rows: int
    files: int
    parts: int
    resumed: int
    bad_files: tuple[str, ...] = ()


@dataclass(slots=True)
class _Record:
    """What is done and safe: rows, and what was bad, by the number of each part."""

    run: str
    done: dict[str, int] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)
    complete: bool = False


@dataclass(frozen=True, slots=True)
class _Order:
    """How each part is predicted, and where to; picklable."""

    folder: str
    storage: Any
    proba: bool
    keep: tuple[str, ...]
    most: int
    skip: bool

    def write(self, name: str, data: bytes) -> None:
        place = f"{self.folder}/{name}"
        if self.storage is None:
            write_bytes(place, data)
        else:
            self.storage.put_uri(place, data)


def predict_files(
    model: Model,
    data: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    proba: bool = False,
    keep: Sequence[str] = (),
    bad_files: str = "error",
    plugins: Plugins | None = None,
) -> Predicted:
    """Predict every row of a data set, and write a folder of Parquet files in the order of the rows.

    Parts of the input are tasks of the executor in the settings, on as many machines as that has; memory holds a few batches
    for each. A run that ended early goes on with the parts that it lacks when it is called again with the same model, files
    and arguments. On this machine the folder appears when it is whole; in a cloud `_predictions.json` in it says "complete".

    Args:
        data: Parquet, Arrow or CSV files by path, glob, folder or URI of a cloud, or a list of them.
        out: a folder, or the URI of one, which executors on other machines can reach, too.
        proba: a column of probability per class as well.
        keep: columns of the data to write beside the predictions, such as an identifier.
        bad_files: "error", or "skip" to leave out what cannot be read of damaged files.
        plugins: whose executor and clouds to use; None reads the settings from the environment and `automl.toml`.

    Raises:
        DataError: a file is missing or damaged, a column is missing, or the folder holds something else.
        ComponentUnavailable: a cloud does not answer, or refuses.
    """
    if bad_files not in ("error", "skip"):
        raise DataError(f"bad_files is {bad_files!r}; it must be error or skip.")
    plugins = plugins or _plugins()
    sources = [data] if isinstance(data, str | os.PathLike) else list(data)
    files = find_files([os.fspath(source) for source in sources], plugins)
    if not files:
        raise DataError(f"{sources[0]!r}: only files of Parquet, Arrow and CSV, here or in a cloud, are read in parts.")
    bad: list[str] = []
    opened = open_parts(files, bad=bad if bad_files == "skip" else None)
    _check_columns(model, opened[0], keep)
    for said in bad:
        log.warning("left out: %s", said)
    coded = set(model.encoder.categories).difference(keep)
    parts = [part.with_coded(coded) for whole in opened for part in whole.cut(PART_ROWS)]
    run = _identify(model, files, [proba, list(keep), bad_files])
    storage = storage_at(os.fspath(out), plugins)
    with _folder(os.fspath(out).rstrip("/"), storage, run) as (folder, record):
        resumed = len(record.done)
        if not record.complete:
            most = batch_rows(parts, memory_limit())
            order = _Order(folder, storage, proba, tuple(keep), most, bad_files == "skip")
            _run(model, parts, order, record, plugins)
    bad += record.bad.values()
    return Predicted(sum(record.done.values()), len(opened), len(parts), resumed, tuple(bad))


def _plugins() -> Plugins:
    from automl_core import Plugins
    from automl_core.settings import load_settings

    return Plugins(load_settings())


def _check_columns(model: Model, part: Part, keep: Sequence[str]) -> None:
    from automl_core import did_you_mean

    for name in keep:
        if name not in part.schema.names:
            raise DataError(f"the data has no column {name!r} to keep.{did_you_mean(name, part.schema.names)}")
        if name == (model.target or "prediction"):
            raise DataError(f"column {name!r} is what the predictions are called: it cannot be kept beside them.")


def _identify(model: Model, files: Sequence[Found], arguments: list[Any]) -> str:
    from automl.artifact.save import dump_model

    about = [[found.file.name, found.size, _changed(found)] for found in files]
    digest = blake2b(dump_model(model), digest_size=16)
    digest.update(json.dumps([about, arguments, PART_ROWS]).encode())
    return digest.hexdigest()


def _changed(found: Found) -> int:
    return Path(found.file.name).stat().st_mtime_ns if found.file.local else 0


# ---- the folder


@contextmanager
def _folder(out: str, storage: Any, run: str) -> Iterator[tuple[str, _Record]]:
    """Open the folder that parts go to, with what is done already; on this machine a hidden one until it is whole."""
    earlier = _load(out, storage)
    if earlier is not None and earlier.run == run and earlier.complete:
        yield out, earlier
        return
    if storage is not None:
        if _holds_anything(storage, out) if earlier is None else earlier.run != run:
            raise DataError(f"{out} holds other files already: name another folder.")
        yield out, earlier or _Record(run)
        return
    final = Path(out)
    if final.exists():
        raise DataError(f"{out!r} exists already: remove it, or name another folder.")
    if not final.parent.is_dir():
        raise DataError(f"the folder {str(final.parent)!r} of {out!r} does not exist: create it first.")
    hidden = final.with_name(f".{final.name}.unfinished")
    hidden.mkdir(exist_ok=True)
    with _locked(hidden, out):
        earlier = _load(str(hidden), None)
        if earlier is None or earlier.run != run:
            shutil.rmtree(hidden)
            hidden.mkdir()
            earlier = _Record(run)
        yield str(hidden), earlier
        hidden.rename(final)


@contextmanager
def _locked(folder: Path, out: str) -> Iterator[None]:
    import fcntl

    beside = folder.with_name(f"{folder.name}.lock")
    with beside.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(f"another process is writing {out!r}: wait for it, or name another folder.") from error
        try:
            yield
        finally:
            beside.unlink(missing_ok=True)


def _load(folder: str, storage: Any) -> _Record | None:
    try:
        if storage is None:
            text = Path(folder, RECORD).read_bytes() if Path(folder, RECORD).is_file() else b""
        else:
            with storage.open_uri(f"{folder}/{RECORD}") as file:
                text = file.read()
    except DataError:  # there is none
        return None
    try:
        return _Record(**json.loads(text)) if text else None
    except (TypeError, ValueError) as error:
        raise DataError(f"{folder}/{RECORD} is no record of predictions: delete the folder to start over.") from error


def _holds_anything(storage: Any, folder: str) -> bool:
    try:
        return bool(storage.locate(folder))
    except DataError:
        return False


# ---- the parts


def _run(model: Model, parts: Sequence[Part], order: _Order, record: _Record, plugins: Plugins) -> None:
    if record.done:
        log.info("going on after %d of %d parts of an earlier run", len(record.done), len(parts))
    _save(record, order)
    missing = (number for number in range(len(parts)) if str(number) not in record.done)
    with plugins.build("executor", plugins.settings.executor) as executor:
        shared = executor.share(model) if isinstance(executor, Shares) else Here(model)
        running: dict[Future[tuple[int, str]], int] = {}
        told = time.monotonic()
        try:
            while True:
                _fill(executor, running, missing, parts, shared, order)
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    number = running.pop(future)
                    _note(record, str(number), future.result())
                if time.monotonic() - told > EVERY:
                    _save(record, order)
                    told = time.monotonic()
                    log.info("%d of %d parts", len(record.done), len(parts))
            record.complete = True
        finally:
            _drain(running, record)
            _save(record, order)


def _save(record: _Record, order: _Order) -> None:
    order.write(RECORD, json.dumps(asdict(record)).encode())


def _fill(
    executor: Executor,
    running: dict[Future[tuple[int, str]], int],
    missing: Iterator[int],
    parts: Sequence[Part],
    shared: Any,
    order: _Order,
) -> None:
    """Keep one part for each place of the executor, and one more."""
    while len(running) <= executor.capacity and (number := next(missing, None)) is not None:
        running[executor.submit(_predict_part, shared, parts[number], number, order)] = number


def _note(record: _Record, number: str, found: tuple[int, str]) -> None:
    record.done[number], said = found
    if said:
        record.bad[number] = said


def _drain(running: dict[Future[tuple[int, str]], int], record: _Record) -> None:
    """Note what ends well after another part failed."""
    for future in running:
        future.cancel()
    for future, number in running.items():
        if not future.cancelled() and future.exception() is None:
            _note(record, str(number), future.result())


def _predict_part(shared: Any, part: Part, number: int, order: _Order) -> tuple[int, str]:
    """Write a part's predictions; return their number, and what is said of a file that is damaged."""
    from pyarrow import BufferOutputStream, parquet

    model, rows = shared.get(), 0
    try:
        for place, table in enumerate(part.tables(order.most)):
            sink = BufferOutputStream()
            parquet.write_table(_said(model, open_table(table), order), sink)
            order.write(f"part-{number:06d}-{place:04d}.parquet", sink.getvalue().to_pybytes())
            rows += table.num_rows
    except DataError as error:
        if not order.skip or part.name not in str(error):
            raise
        log.warning("left out after %d rows: %s", rows, error)
        return rows, str(error)
    return rows, ""


def _said(model: Model, table: pa.Table, order: _Order) -> pa.Table:
    import pyarrow as pa

    columns: dict[str, Any] = {name: table[name] for name in order.keep}
    name = model.target or "prediction"
    if not order.proba:
        return pa.table({**columns, name: _array(model.predict(table))})
    shares = model.predict_proba(table)
    columns[name] = _array(model.decide(shares))
    columns |= {f"probability_{label}": shares[:, i] for i, label in enumerate(model.classes_)}
    return pa.table(columns)


def _array(values: Any) -> pa.Array:
    import pyarrow as pa

    return pa.array(values.tolist() if values.dtype == object else values)
