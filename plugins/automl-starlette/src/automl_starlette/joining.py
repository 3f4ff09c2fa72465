"""Head and body of an answer in one piece."""

from __future__ import annotations

from typing import Any

__all__ = ["JoiningTransport"]

HEAD, CONTINUE = b"HTTP/1.1 ", b"HTTP/1.1 100"


class JoiningTransport:
    """A transport that keeps the head of an answer until its body is written.

    uvicorn writes both in turn, and the loop sends each at once: two system calls, two packets, and a client that wakes
    up twice (measured with `ss -ti`: two data segments an answer).
    """

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._head = b""
        self.is_closing = transport.is_closing  # asked for each request: not by way of __getattr__

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(HEAD) and not data.startswith(CONTINUE):
            self._head = data
            return
        self._transport.write(data)

    def flush(self) -> None:
        """Send a head that has no body."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
