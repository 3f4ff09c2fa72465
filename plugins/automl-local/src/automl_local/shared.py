"""Large values for many processes: written once, mapped by each."""

from __future__ import annotations

import mmap
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import Any, Generic, TypeVar, cast

import cloudpickle

from automl_core import Shared

__all__ = ["SharedFile", "share_by_file"]

T = TypeVar("T")

ALIGNMENT = 64  # bytes; a cache line, and enough for any vector instruction
KEPT = 4  # values that a worker keeps open

_opened: OrderedDict[str, Any] = OrderedDict()
_lock = Lock()


class SharedFile(Shared[T], Generic[T]):
    """A value in a file.

    In the process that shared it `get` is the value itself. In others its arrays lie in mapped memory, which all
    processes share for as long as they only read; what one writes it alone sees.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def get(self) -> T:
        with _lock:
            if self.path not in _opened:
                while len(_opened) >= KEPT:
                    _opened.popitem(last=False)
                _opened[self.path] = _load(self.path)
            _opened.move_to_end(self.path)
            return cast("T", _opened[self.path])


class _Original(SharedFile[T]):
    """The reference in the process that shared; becomes a `SharedFile` on its way to another one."""

    def __init__(self, path: str, value: T) -> None:
        super().__init__(path)
        self._value = value

    def get(self) -> T:
        return self._value

    def __reduce__(self) -> tuple[type[SharedFile[T]], tuple[str]]:
        return SharedFile, (self.path,)


def share_by_file(value: T, path: Path) -> SharedFile[T]:
    """Write a value to a file: its pickle, and its buffers out of band (PEP 574), each aligned.

    Raises:
        OSError: the file cannot be written.
    """
    buffers: list[pickle.PickleBuffer] = []
    body = cloudpickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(body), *(buffer.raw() for buffer in buffers)]
    header = struct.pack(f"<{1 + len(parts)}Q", len(parts), *(part.nbytes for part in parts))
    with path.open("xb") as file:
        file.write(header)
        for part in parts:
            file.write(bytes(-file.tell() % ALIGNMENT))
            file.write(part)
    return _Original(str(path), value)


def _load(path: str) -> Any:
    with Path(path).open("rb") as file:
        mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    (count,) = struct.unpack_from("<Q", mapped)
    sizes = struct.unpack_from(f"<{count}Q", mapped, 8)
    offset, parts = 8 * (1 + count), []
    for size in sizes:
        offset += -offset % ALIGNMENT
        parts.append(mapped[offset : offset + size])
        offset += size
    return pickle.loads(parts[0], buffers=parts[1:])  # noqa: S301 - written by the parent, in its own folder
