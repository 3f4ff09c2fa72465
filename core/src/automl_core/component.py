"""What all components have in common."""

from __future__ import annotations

from typing import Self

__all__ = ["Component"]


class Component:
    """A context manager whose `close` releases what it holds and may be called twice."""

    def close(self) -> None:
        """Release connections, threads and files; harmless when called again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
