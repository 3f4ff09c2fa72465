"""An object as a file that can be read anywhere."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from automl_core.remote.client import Cut

if TYPE_CHECKING:
    from automl_core.remote.client import Client

__all__ = ["open_object"]

BLOCK = 4 << 20


class _Object(io.RawIOBase):
    """Reads ranges; each one is asked for again where it comes short."""

    def __init__(self, client: Client, path: str, size: int) -> None:
        self.client, self.path, self.size, self.place = client, path, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.place = max(offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.size}[whence], 0)
        return self.place

    def tell(self) -> int:
        return self.place

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self._fetch(len(view))
        view[: len(data)] = data
        return len(data)

    def read(self, size: int | None = -1) -> bytes:
        return self._fetch(self.size if size is None or size < 0 else size)

    def readall(self) -> bytes:
        return self._fetch(self.size)

    def _fetch(self, count: int) -> bytes:
        start, end = self.place, min(self.place + count, self.size)
        if start >= end:
            return b""

        def request(system: Any) -> bytes:
            if (start, end) == (0, self.size):
                data = system.cat_file(self.path)
            else:
                data = system.cat_file(self.path, start=start, end=end)
            if len(data) != end - start:
                raise Cut(f"{len(data)} of {end - start} bytes came")
            return bytes(data)

        data = self.client.ask("reading", self.path, request)
        self.place = end
        return data


def open_object(client: Client, path: str, size: int, *, buffered: bool = True) -> BinaryIO:
    """Open an object of a known size for reading.

    Args:
        buffered: fetch at least 4 MiB at a time; without, what is asked for, for readers that ask for much at once.
    """
    opened = _Object(client, path, size)
    return cast(BinaryIO, io.BufferedReader(opened, BLOCK) if buffered else opened)
