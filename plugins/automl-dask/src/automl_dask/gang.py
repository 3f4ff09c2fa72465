"""Calls that run on all workers at the same time, and end together where one of them is lost."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from concurrent.futures import Future
from threading import Thread
from typing import TYPE_CHECKING, Any

from automl_dask.tasks import call, unpack

if TYPE_CHECKING:
    from distributed import Client
    from distributed import Future as DaskFuture

__all__ = ["start_gang"]

INTERVAL = 0.3  # seconds between two looks at the workers
DOUBT = 5.0  # seconds in which the scheduler notices that a worker is lost, of which another one's error may tell first


def start_gang(client: Client, calls: Sequence[tuple[bytes, Sequence[DaskFuture]]]) -> list[Future[Any]]:
    """Run packed calls, each on a worker of its own.

    Raises:
        ValueError: there are fewer workers than calls.
    """
    addresses = list(client.nthreads())[: len(calls)]
    if len(addresses) < len(calls):
        raise ValueError(f"a gang of {len(calls)} needs as many workers: there are {len(addresses)}")
    inner = []
    for address, (packed, values) in zip(addresses, calls, strict=True):
        body = client.scatter([packed], workers=[address], hash=False)[0]
        key = f"automl-gang-{uuid.uuid4().hex}"
        inner.append(client.submit(call, body, *values, key=key, workers=[address], pure=False))
    outer: list[Future[Any]] = [Future() for _ in inner]
    for future in outer:
        future.set_running_or_notify_cancel()
    Thread(target=_follow, args=(client, addresses, inner, outer), name="automl-dask-gang", daemon=True).start()
    return outer


def _follow(
    client: Client, addresses: Sequence[str], inner: Sequence[DaskFuture], outer: Sequence[Future[Any]]
) -> None:
    error: BaseException | None = None
    try:
        while error is None and not all(future.done() for future in inner):
            time.sleep(INTERVAL)
            error = _lost(client, addresses)
            if error is None and any(future.status in ("error", "cancelled", "lost") for future in inner):
                break
        for one, future in zip(inner, outer, strict=True):
            if error is None:
                error = _finish(one, future)
        if error is not None:
            error = _lost(client, addresses, seconds=DOUBT) or error
    except BaseException as raised:  # noqa: BLE001 - a scheduler that is gone, handed on by the futures
        error = raised
    for future in outer:
        if error is not None and not future.done():
            future.set_exception(error)
    if error is not None and client.status == "running":
        client.cancel(list(inner))


def _finish(inner: DaskFuture, outer: Future[Any]) -> BaseException | None:
    """Hand a result on, or return the error that there is instead."""
    if inner.status == "pending":
        return None
    error: BaseException | None
    result, error = unpack(inner.result())
    if error is None:
        outer.set_result(result)
    return error


def _lost(client: Client, addresses: Sequence[str], *, seconds: float = 0.0) -> ConnectionError | None:
    """Return which worker is not there any more, after looking for it for some time."""
    until = time.monotonic() + seconds
    while True:
        if client.status != "running":
            return ConnectionError("the Dask scheduler is gone, and what ran there with it.")
        gone = sorted(set(addresses) - set(client.nthreads()))
        if gone:
            return ConnectionError(f"the Dask worker at {gone[0]} was lost, and what it did together with others.")
        if time.monotonic() >= until:
            return None
        time.sleep(INTERVAL)
