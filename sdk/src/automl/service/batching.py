"""Batch while busy: what queues up during one prediction is predicted together next.

No window and no timer: an idle model answers at once (measured: timers cost a factor of ten at low load, and gain nothing
at high load).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from automl.service.answers import Answer, Expired, Overloaded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.service.served import Served

__all__ = ["Batcher", "Item"]

LONGEST = 0.05  # seconds that one batch should take at most: the next one waits for it


@dataclass(slots=True, eq=False)
class Item:
    """Rows that wait for their prediction."""

    served: Served
    values: NDArray[np.float32]
    due: float
    future: Future[Answer] = field(default_factory=Future)


class Batcher:
    """Runs predictions in one thread of its own, for as many callers as there are.

    Args:
        run: predicts rows of one model; its answer has as many rows.
    """

    def __init__(self, run: Callable[[Served, NDArray[np.float32]], Answer]) -> None:
        self._run = run
        self._queue: SimpleQueue[Item | None] = SimpleQueue()
        self._lock = Lock()
        self._seconds = 0.0  # what waits, by estimate
        self.rows = 0
        self.batches = 0
        self._closed = False
        self._thread = Thread(target=self._work, name="automl-predict", daemon=True)
        self._thread.start()

    def submit(self, served: Served, values: NDArray[np.float32], *, deadline: float) -> Future[Answer]:
        """Queue rows.

        Raises:
            Overloaded: what waits already takes longer than `deadline` seconds.
            RuntimeError: the batcher is closed.
        """
        cost = len(values) * served.row
        with self._lock:
            if self._closed:
                raise RuntimeError("the prediction service is closed.")
            if self._seconds and self._seconds + cost > deadline:
                raise Overloaded(f"{self.rows} rows wait already; try again later.", self._seconds)
            self._seconds += cost
            self.rows += len(values)
        item = Item(served, values, monotonic() + deadline)
        self._queue.put(item)
        return item.future

    def close(self) -> None:
        """Answer what waits, then end."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            items, last = self._gather(first)
            groups: dict[int, list[Item]] = {}
            for item in items:
                groups.setdefault(id(item.served), []).append(item)
            for group in groups.values():
                self._answer(group)
            if last:
                return

    def _gather(self, first: Item) -> tuple[list[Item], bool]:
        """Take what waits, up to what may run at once; True where it is the last."""
        items, seconds = [first], len(first.values) * first.served.row
        while seconds < LONGEST and not self._queue.empty():
            item = self._queue.get()
            if item is None:
                return items, True
            items.append(item)
            seconds += len(item.values) * item.served.row
        return items, False

    def _answer(self, items: Sequence[Item]) -> None:
        now = monotonic()
        live = [item for item in items if item.future.set_running_or_notify_cancel()]
        due = [item for item in live if item.due >= now]
        for item in live:
            if item.due < now:
                item.future.set_exception(Expired("the deadline passed while the rows waited."))
        with self._lock:
            self.rows -= sum(len(item.values) for item in items)
            self._seconds = max(0.0, self._seconds - sum(len(item.values) * item.served.row for item in items))
            if not self.rows:
                self._seconds = 0.0
        if due:
            self.batches += 1
            self._predict(due)

    def _predict(self, items: Sequence[Item]) -> None:
        try:
            values = items[0].values if len(items) == 1 else np.concatenate([item.values for item in items])
            answer = self._run(items[0].served, values)
        except Exception as error:  # noqa: BLE001 - goes to the one whose rows are at fault
            if len(items) == 1:
                items[0].future.set_exception(error)
            else:
                for item in items:
                    self._predict([item])
            return
        start = 0
        for item in items:
            end = start + len(item.values)
            # Hits of a batch belong to nobody in particular: the first gets them.
            hits = answer.hits if start == 0 else 0
            item.future.set_result(Answer(answer.served, answer.said[start:end], hits))
            start = end
