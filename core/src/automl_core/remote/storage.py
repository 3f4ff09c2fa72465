"""Journals, blobs and data sets in an object store."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from io import BytesIO
from threading import Lock
from typing import Any, BinaryIO

from automl_core.errors import ComponentUnavailable, DataError, SettingsError
from automl_core.kinds import Storage
from automl_core.remote.client import THREADS, Client
from automl_core.remote.formats import FORMATS, is_data
from automl_core.remote.names import object_name, original_name
from automl_core.remote.reading import open_object

__all__ = ["RemoteStorage"]

TOKEN = 16
MAGIC = re.compile(r"[*?\[]")
NUMBER = re.compile(r"\d{20}")
# Within a process appends to one log take turns: racing with oneself only costs requests.
_TURNS = [Lock() for _ in range(64)]


class RemoteStorage(Storage):
    """Storage below `client.uri`, with the powers `Tabular` and `Located`. Picklable; connects when it is first used.

    An object store cannot append. A record of a log is an object of its own, `logs/NAME.log/NUMBER`, put on the
    condition that there is none yet, so any number of processes may append to one log. A random token at the head of
    each tells a put whose answer was lost from one that another writer won: no record is there twice. A log whose first
    record is gone is deleted, as deleting begins with it; it must not be deleted while another process appends to it.
    Blobs are `blobs/KEY`, replaced as a whole.

    Raises:
        SettingsError: the URI names no bucket.
        ComponentUnavailable: the store does not answer, or refuses; says why and what to do, without secrets.
        DataError: a log was damaged from outside.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self._next: dict[str, int] = {}
        if not client.uri.partition("://")[2].strip("/"):
            raise SettingsError(f"{client.uri!r} names no bucket: write SCHEME://bucket/folder.")

    def __repr__(self) -> str:
        return f"<RemoteStorage at {self.client.uri}>"

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_next": {}}

    @property
    def _root(self) -> str:
        return self.client.path(self.client.uri).rstrip("/")

    # ---- logs

    def append(self, log: str, record: bytes) -> int:
        folder = self._log(log)
        body = os.urandom(TOKEN) + record
        with _TURNS[hash(folder) % len(_TURNS)]:
            number = self._next.get(folder) or self._start(folder)
            while not self._create(f"{folder}/{number:020d}", body):
                number = max(number, *self._numbers(folder)[-1:]) + 1
            self._next[folder] = number + 1
        return number

    def _start(self, folder: str) -> int:
        """Return the number of the next record; finishes a deletion that was cut off."""
        numbers = self._numbers(folder)
        if numbers and numbers[0] != 1:
            self._remove_records(folder, numbers)
            return 1
        return len(numbers) + 1

    def _create(self, path: str, body: bytes) -> bool:
        """Put an object unless there is one of that name; returns whether it is ours."""
        options = self.client.put_options
        try:
            self.client.ask("writing", path, lambda fs: fs.pipe_file(path, body, mode="create", **options))
        except FileExistsError:
            try:
                return self._record(path)[:TOKEN] == body[:TOKEN]
            except FileNotFoundError:
                return False
        except FileNotFoundError as error:
            raise self._no_bucket(path) from error
        return True

    def read(self, log: str, after: int = 0) -> Iterator[tuple[int, bytes]]:
        return self._read(self._log(log), after)

    def _read(self, folder: str, after: int) -> Iterator[tuple[int, bytes]]:
        numbers = self._numbers(folder)
        if not numbers or numbers[0] != 1:
            return
        if numbers[-1] != len(numbers):
            missing = next(number for number, found in enumerate(numbers, 1) if number != found)
            raise DataError(f"the log {self.client.name(folder)} is damaged: record {missing} is missing.")
        wanted = numbers[after:]
        # In batches, so that a reader who stops early has not fetched everything.
        for start in range(0, len(wanted), 8 * THREADS):
            batch = wanted[start : start + 8 * THREADS]
            bodies = self.client.each(self._record, [f"{folder}/{number:020d}" for number in batch])
            for number, body in zip(batch, bodies, strict=True):
                if len(body) < TOKEN:
                    raise DataError(f"the log {self.client.name(folder)} is damaged: record {number} is cut off.")
                yield number, body[TOKEN:]

    def _numbers(self, folder: str) -> list[int]:
        names = (path.removeprefix(folder).lstrip("/") for path in self._find(folder))
        return sorted(int(name) for name in names if NUMBER.fullmatch(name))

    def _remove_records(self, folder: str, numbers: Sequence[int]) -> None:
        paths = [f"{folder}/{number:020d}" for number in numbers]
        for path in paths[:1]:
            self._remove(path)
        for _ in self.client.each(self._remove, paths[1:]):
            pass

    # ---- blobs

    def put(self, key: str, data: bytes) -> None:
        self._put(self._blob(key), data)

    def open(self, key: str) -> BinaryIO:
        """Open a blob, which is read as a whole."""
        try:
            return BytesIO(self._get(self._blob(key)))
        except FileNotFoundError:
            raise KeyError(key) from None

    def delete(self, key: str) -> None:
        blob, folder = self._blob(key), self._log(key)
        self._remove(blob)
        self._next.pop(folder, None)
        self._remove_records(folder, self._numbers(folder))

    def keys(self, prefix: str = "") -> Iterator[str]:
        root = f"{self._root}/blobs"
        within = prefix.rpartition("/")[0]
        names = (
            path.removeprefix(root).lstrip("/") for path in self._find(root, object_name(within) if within else "")
        )
        keys = (original_name(name) for name in names)
        return iter(sorted(key for key in keys if key.startswith(prefix)))

    # ---- Located

    def locate(self, uri: str) -> list[str]:
        """Return the URIs of the files that a file, folder or glob stands for, sorted."""
        return [self.client.name(path) for path in sorted(self.files(uri))]

    def files(self, uri: str) -> dict[str, int]:
        """Return the sizes in bytes of the files that a URI stands for, by path.

        Raises:
            DataError: there is none.
        """
        path = self.client.path(uri).rstrip("/")
        if MAGIC.search(path):
            found: dict[str, Any] = self.client.ask("listing", path, lambda fs: fs.glob(path, detail=True))
        else:
            try:
                found = {path: self.client.ask("reading", path, lambda fs: fs.info(path))}
            except FileNotFoundError:
                raise DataError(f"there is no file at {uri!r}.") from None
        sizes = {name: int(item["size"]) for name, item in found.items() if item["type"] == "file"}
        for folder in set(found) - set(sizes):
            sizes |= self._below(folder.rstrip("/"))
        if not sizes:
            raise DataError(f"there is no file at {uri!r} of a known format ({', '.join(sorted(FORMATS))}).")
        return sizes

    def _below(self, folder: str) -> dict[str, int]:
        found = self.client.ask("listing", folder, lambda fs: fs.find(folder, detail=True))
        return {name: int(item["size"]) for name, item in found.items() if is_data(name.removeprefix(folder)[1:])}

    def open_uri(self, uri: str) -> BinaryIO:
        """Open the file at a URI for reading anywhere in it."""
        path = self.client.path(uri)
        try:
            size = int(self.client.ask("reading", path, lambda fs: fs.info(path))["size"])
        except FileNotFoundError:
            raise DataError(f"there is no file at {uri!r}.") from None
        return open_object(self.client, path, size)

    def put_uri(self, uri: str, data: bytes) -> None:
        """Write a file as a whole: readers see the old one or the new one."""
        self._put(self.client.path(uri), data)

    # ---- Tabular

    def table(self, uri: str, *, columns: Sequence[str] | None = None) -> Any:
        """Return a `pyarrow.dataset.Dataset` of Parquet, Arrow, CSV or JSON lines; folders may be Hive partitions."""
        try:
            from automl_core.remote.tables import open_dataset
        except ImportError as error:
            raise DataError("reading a data set needs pyarrow: pip install pyarrow.") from error

        return open_dataset(self, uri, columns)

    # ---- objects

    def _log(self, name: str) -> str:
        return f"{self._root}/logs/{object_name(name)}.log"

    def _blob(self, key: str) -> str:
        return f"{self._root}/blobs/{object_name(key)}"

    def _put(self, path: str, data: bytes) -> None:
        options = self.client.put_options
        try:
            self.client.ask("writing", path, lambda fs: fs.pipe_file(path, data, **options))
        except FileNotFoundError as error:
            raise self._no_bucket(path) from error

    def _get(self, path: str) -> bytes:
        return bytes(self.client.ask("reading", path, lambda fs: fs.cat_file(path)))

    def _record(self, path: str) -> bytes:
        # From a place on, s3fs asks for the object at once; for a whole one it asks for its size first.
        return bytes(self.client.ask("reading", path, lambda fs: fs.cat_file(path, start=0)))

    def _remove(self, path: str) -> None:
        try:
            self.client.ask("deleting", path, lambda fs: fs.rm_file(path))
        except FileNotFoundError:
            return

    def _find(self, path: str, prefix: str = "") -> list[str]:
        try:
            return list(self.client.ask("listing", path, lambda fs: fs.find(path, prefix=prefix)))
        except FileNotFoundError:
            return []

    def _no_bucket(self, path: str) -> ComponentUnavailable:
        bucket = path.partition("/")[0]
        return ComponentUnavailable(f"there is no bucket {self.client.name(bucket)}: create it, or name another one.")
