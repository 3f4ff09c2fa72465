"""What a worker process does: before its first task, and with each."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
import traceback
from typing import Any

import cloudpickle

__all__ = ["call", "pack", "prepare", "unpack"]

INTERVAL = 1.0  # seconds between two looks at the parent
MAIN = b"__main__"


def prepare(parent: int) -> None:
    """Leave Ctrl-C to the parent, which decides what becomes of the study; end when the parent has died."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, args=(parent,), name="automl-parent", daemon=True).start()


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(INTERVAL)
    os._exit(1)


def pack(value: Any) -> bytes:
    """Pickle a value; functions and classes of the main script, and closures, by value.

    The standard library's pickle takes a fraction of the time, and does the same where it neither fails nor refers to
    the main script: so does Dask (distributed.protocol.pickle).
    """
    if not cloudpickle.list_registry_pickle_by_value():
        try:
            packed = pickle.dumps(value, protocol=5)
        except Exception:  # noqa: BLE001 - whatever its pickling raises, cloudpickle may do better or tells it
            return bytes(cloudpickle.dumps(value, protocol=5))
        if MAIN not in packed:
            return packed
    return bytes(cloudpickle.dumps(value, protocol=5))


def unpack(data: bytes) -> Any:
    return pickle.loads(data)  # noqa: S301 - from our own parent or worker


def call(task: bytes) -> bytes:
    """Run a packed (function, arguments) and return a packed (result, error).

    Packing and unpacking happen here and in the parent, not in the pool's queues, where a task or result that cannot
    be unpickled would break the pool for all.
    """
    try:
        fn, args = unpack(task)
        return pack((fn(*args), None))
    except BaseException as error:  # noqa: BLE001 - the parent's future hands it on
        return _pack_error(error)


def _pack_error(error: BaseException) -> bytes:
    error.add_note("in the worker:\n" + "".join(traceback.format_exception(error)))
    try:
        packed = pack((None, error))
        unpack(packed)  # many exceptions can be pickled but not unpickled: their __init__ takes other arguments
    except Exception:  # noqa: BLE001 - whatever its pickling raises
        return pack((None, RuntimeError("".join(traceback.format_exception_only(error)))))
    return packed
