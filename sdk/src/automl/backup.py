"""The engine's directory as one file, and back: journals, the registry, stores of MLflow and labels.

What is written meanwhile does no harm. Journals come first: whatever one names was there before it was named, so that it
is in the backup too. Databases of SQLite are copied by SQLite, as one moment. Every file is named with its digest in a
manifest, and checked against it before anything is restored.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sqlite3
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO

from automl_core import DataError

__all__ = ["back_up", "restore", "time_of"]

MANIFEST, FORMAT = "automl-backup.json", 1
JOURNAL, TEMPORARY = ".jsonl", "tmp"
SQLITE, BESIDE = b"SQLite format 3\0", ("-wal", "-shm", "-journal")
CHUNK = 1 << 20


def back_up(directory: Path, target: Path) -> int:
    """Write all that is in a directory to a file for its owner alone, whole or not at all; return how many files that are.

    Raises:
        DataError: there is nothing in the directory, or the file would be inside of it.
        OSError: something cannot be read or written.
    """
    directory, target = directory.absolute(), target.absolute()
    if target.is_relative_to(directory):
        raise DataError(f"the backup {target} would be part of itself: write it outside of {directory}.")
    part = target.with_name(f"{target.name}.part")
    try:
        part.unlink(missing_ok=True)
        part.touch(0o600)  # a stack keeps its secrets in that directory
        with part.open("wb") as file, tarfile.open(fileobj=file, mode="w") as archive:
            digests: dict[str, str] = {}
            for name in _names(directory):
                with suppress(FileNotFoundError):  # it was deleted since it was seen
                    digests[name] = _add(archive, directory, name)
            if not digests:
                raise DataError(f"there is nothing to back up in {directory}.")
            told = {"format": FORMAT, "created": datetime.now(UTC).isoformat(timespec="seconds"), "files": digests}
            _write(archive, MANIFEST, json.dumps(told, indent=1).encode())
            archive.close()
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return len(digests)


def restore(source: Path, directory: Path) -> int:
    """Unpack a backup into a directory that is not there or empty, whole or not at all; return how many files.

    Files are readable for whom they were.

    Raises:
        DataError: the directory is in use, or the backup is damaged.
        OSError: something cannot be read or written.
    """
    directory = directory.absolute()
    if directory.exists() and any(directory.iterdir()):
        raise DataError(f"{directory} is not empty: move it away, or name another one.")
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}-") as made:
        folder = Path(made, "restored")
        count = _unpack(source, folder)
        if directory.exists():
            directory.rmdir()
        folder.replace(directory)
    return count


def time_of(source: Path) -> datetime:
    """Return when a backup was made.

    Raises:
        DataError: it is damaged, or is none.
    """
    try:
        with tarfile.open(source, mode="r:") as archive:
            data = archive.extractfile(MANIFEST)
            return datetime.fromisoformat(json.load(data)["created"] if data else "")
    except (tarfile.TarError, EOFError, KeyError, ValueError) as error:
        raise DataError(f"the backup {source} is damaged, or is none: {error}.") from error


def _names(directory: Path) -> Iterator[str]:
    """Yield what to keep, journals first; the rest is looked up when all journals are in."""
    for journals in (True, False):
        for path in sorted(directory.rglob("*")):
            name = path.relative_to(directory).as_posix()
            kept = path.is_file() and not name.startswith(f"{TEMPORARY}/") and not name.endswith(BESIDE)
            if kept and (path.suffix == JOURNAL) == journals:
                yield name


def _add(archive: tarfile.TarFile, directory: Path, name: str) -> str:
    path = directory / name
    mode = stat.S_IMODE(path.stat().st_mode)
    if path.suffix == JOURNAL:
        # A record that is being written is left out: readers would take it for a cut one, but it is none of this moment.
        data = path.read_bytes()
        return _write(archive, name, data[: data.rfind(b"\n") + 1], mode)
    with path.open("rb") as file:
        if file.read(len(SQLITE)) != SQLITE:
            file.seek(0)
            return _stream(archive, name, file, mode)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        with closing(sqlite3.connect(path)) as database, closing(sqlite3.connect(copy)) as whole:
            database.backup(whole)
        with copy.open("rb") as file:
            return _stream(archive, name, file, mode)


def _write(archive: tarfile.TarFile, name: str, data: bytes, mode: int = 0o600) -> str:
    return _stream(archive, name, io.BytesIO(data), mode)


def _stream(archive: tarfile.TarFile, name: str, file: IO[bytes], mode: int) -> str:
    """Add as many bytes as the file has now, and return their digest."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, mode
    digest = hashlib.sha256()
    archive.addfile(info, _Digesting(file, digest))
    return digest.hexdigest()


class _Digesting(io.RawIOBase):
    """A file whose bytes go by a digest while they are read."""

    def __init__(self, file: IO[bytes], digest: hashlib._Hash) -> None:
        self._file, self._digest = file, digest

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._digest.update(data)
        return data


def _unpack(source: Path, folder: Path) -> int:
    found: dict[str, str] = {}
    told: dict[str, str] | None = None
    try:
        with tarfile.open(source, mode="r:") as archive:
            for member in archive:
                data = archive.extractfile(member)
                if data is None:
                    raise DataError(f"the backup {source} has the entry {member.name!r}, which is no file.")
                if member.name == MANIFEST:
                    told = _read_manifest(source, data.read())
                else:
                    found[member.name] = _extract(data, folder, member.name, member.mode)
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"the backup {source} is damaged, or is none: {error}.") from error
    if told is None:
        raise DataError(f"the backup {source} is cut: its manifest, which comes last, is missing.")
    if wrong := sorted(name for name in told.keys() | found.keys() if told.get(name) != found.get(name)):
        raise DataError(
            f"the backup {source} is damaged: {wrong[0]!r} is not what the manifest says. Take an older one."
        )
    return len(found)


def _read_manifest(source: Path, data: bytes) -> dict[str, str]:
    told = json.loads(data)
    if told.get("format") != FORMAT:
        raise DataError(
            f"the backup {source} is of format {told.get('format')}: restore it with the version that made it."
        )
    files: dict[str, str] = told["files"]
    return files


def _extract(data: IO[bytes], folder: Path, name: str, mode: int) -> str:
    parts = PurePosixPath(name).parts
    if not parts or parts[0] == "/" or ".." in parts:
        raise DataError(f"the backup names the file {name!r}, which is outside of the directory.")
    path = folder.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    path.touch(0o600)
    with path.open("wb") as file:
        while chunk := data.read(CHUNK):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(stat.S_IMODE(mode) & 0o777)
    return digest.hexdigest()
