r"""Append-only logs in files, one record a line, safe between processes and against their death.

A line is `{"seq":7,"crc":"9ae0daaf","record":{...}}` for a record that looks like a JSON object on one line, else
`{"seq":7,"crc":"9ae0daaf","base64":"..."}`; the checksum covers the number and the record. So a log of JSON records is
a file of JSON lines, for people and tools.

Appending holds an exclusive `flock` on the file, which the kernel lets go when a process dies. What a dead writer left
unfinished at the end is no line, or one whose checksum is wrong: readers stop before it, the next append cuts it off.
"""

from __future__ import annotations

import fcntl
import os
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

from automl_core import DataError

__all__ = ["append_record", "delete_log", "read_records", "sync_folder"]

LINE = re.compile(
    rb'\{"seq":(\d{1,18}),"crc":"([0-9a-f]{8})","(?:record":(.*)|base64":"([A-Za-z0-9+/=]*)")\}\n', re.DOTALL
)
BLOCK = 4096
RACES = 16  # times that somebody else may remove the folder between making and using it


def append_record(path: Path, record: bytes, *, fsync: bool = False) -> int:
    """Append one record and return its number; all or nothing, whatever fails.

    Raises:
        OSError: the file cannot be written, or the disk is full.
        DataError: the end of the log is damaged, not only cut.
    """
    with _locked(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, fcntl.LOCK_EX) as fd:
        size = os.fstat(fd).st_size
        seq, end = _find_end(fd, size, path)
        if end < size:
            os.ftruncate(fd, end)
        try:
            _write_all(fd, _to_line(seq + 1, record))
            if fsync:
                os.fsync(fd)
                if seq == 0:
                    sync_folder(path.parent)
        except BaseException:
            os.ftruncate(fd, end)
            raise
    return seq + 1


def read_records(path: Path, after: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield (number, record) of what was complete when reading began; nothing where there is no file.

    Raises:
        DataError: a line before the end is damaged.
    """
    try:
        with _locked(path, os.O_RDONLY, fcntl.LOCK_SH) as fd:
            last, end = _find_end(fd, os.fstat(fd).st_size, path)
            file = os.fdopen(os.dup(fd), "rb")
    except FileNotFoundError:
        return
    # Whole lines never change, so that the rest needs no lock.
    with file:
        file.seek(0)
        offset = 0
        while last > after and offset < end:
            line = file.readline()
            parsed = _from_line(line)
            if parsed is None:
                raise _damaged(path, offset)
            offset += len(line)
            if parsed[0] > after:
                yield parsed


def delete_log(path: Path) -> None:
    """Delete a log; a writer that waits for it starts a new one. Harmless if absent."""
    try:
        with _locked(path, os.O_RDWR, fcntl.LOCK_EX):
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        return


@contextmanager
def _locked(path: Path, flags: int, operation: int) -> Iterator[int]:
    """Open and lock the file that has this path now, not one that was deleted while waiting for the lock."""
    while True:
        fd = _open(path, flags)
        try:
            fcntl.flock(fd, operation)
            if _is_current(fd, path):
                yield fd
                return
        finally:
            fcntl.flock(fd, fcntl.LOCK_UN)  # a forked child or a copy of the descriptor would keep the lock
            os.close(fd)


def _open(path: Path, flags: int) -> int:
    for _ in range(RACES if flags & os.O_CREAT else 0):
        try:
            return os.open(path, flags, 0o666)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, flags, 0o666)


def _is_current(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _find_end(fd: int, size: int, path: Path) -> tuple[int, int]:
    """Return the last record's number and the offset behind it, looking from the end of the file backwards."""
    end = size
    for _ in range(2):  # a dead writer leaves one bad line at most
        start, line = _last_line(fd, end)
        if not line:
            return 0, 0
        parsed = _from_line(line)
        if parsed is not None:
            return parsed[0], end
        end = start
    if end == 0:
        return 0, 0
    raise _damaged(path, end)


def _last_line(fd: int, end: int) -> tuple[int, bytes]:
    """Return the offset and the bytes of the line that ends at `end`, whole or not."""
    start, line = end, b""
    while start > 0:
        step = min(max(BLOCK, len(line)), start)
        start -= step
        line = os.pread(fd, step, start) + line
        newline = line.rfind(b"\n", 0, len(line) - 1)
        if newline >= 0:
            return start + newline + 1, line[newline + 1 :]
    return 0, line


def _to_line(seq: int, record: bytes) -> bytes:
    crc = crc32(record, seq & 0xFFFFFFFF)
    if record.startswith(b"{") and record.endswith(b"}") and b"\n" not in record:
        return b'{"seq":%d,"crc":"%08x","record":%b}\n' % (seq, crc, record)
    return b'{"seq":%d,"crc":"%08x","base64":"%b"}\n' % (seq, crc, b64encode(record))


def _from_line(line: bytes) -> tuple[int, bytes] | None:
    match = LINE.fullmatch(line)
    if match is None:
        return None
    seq = int(match[1])
    try:
        record = match[3] if match[3] is not None else b64decode(match[4], validate=True)
    except Base64Error:
        return None
    return (seq, record) if crc32(record, seq & 0xFFFFFFFF) == int(match[2], 16) else None


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync_folder(folder: Path) -> None:
    """Wait until the entries of a folder are on the disk."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _damaged(path: Path, offset: int) -> DataError:
    return DataError(
        f"the log {path} is damaged at byte {offset}: what stands there is no record. "
        "Restore the file from a backup, or delete it to start over."
    )
