"""From a request to its body: whole, within limits, decompressed."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from automl_starlette.problems import Problem

__all__ = ["Disconnected", "read_body"]

WINDOW = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}


class Disconnected(Exception):
    """The client went away: there is nobody to answer."""


async def read_body(
    receive: Callable[[], Awaitable[Any]], headers: Mapping[bytes, bytes], *, limit: int, seconds: float
) -> bytes:
    """Return the body.

    Raises:
        Problem: it is too large, too slow, or compressed in a way that is not known.
        Disconnected: the client went away.
    """
    declared = headers.get(b"content-length")
    if declared is not None and declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Disconnected
    body: bytes = message.get("body", b"")
    if message.get("more_body", False):
        try:
            async with asyncio.timeout(seconds):
                body = await _read_rest(receive, body, limit)
        except TimeoutError:
            raise Problem(408, f"the body was not here after {seconds:g} seconds.") from None
    if len(body) > limit:
        raise _too_large(limit)
    encoding = headers.get(b"content-encoding")
    return body if encoding is None or encoding == b"identity" else _decompress(body, encoding.lower(), limit)


async def _read_rest(receive: Callable[[], Awaitable[Any]], first: bytes, limit: int) -> bytes:
    parts, size, more = [first], len(first), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)
    return b"".join(parts)


def _decompress(body: bytes, encoding: bytes, limit: int) -> bytes:
    if encoding not in WINDOW:
        raise Problem(415, f"the content encoding {encoding.decode('latin-1')!r} is not known: use gzip or deflate.")
    unpacker = zlib.decompressobj(WINDOW[encoding])
    try:
        plain = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise Problem(400, f"the body is no valid {encoding.decode()}: {error}.") from error
    if len(plain) > limit:
        raise _too_large(limit)
    if not unpacker.eof:
        raise Problem(400, f"the {encoding.decode()} body is cut.")
    return plain


def _too_large(limit: int) -> Problem:
    return Problem(
        413, f"the body is larger than {limit} bytes: send fewer rows at a time.", [(b"connection", b"close")]
    )
