"""What goes to a worker and comes back: packed here and there, so that no task can upset Dask itself."""

from __future__ import annotations

import pickle
import threading
import traceback
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import cloudpickle

from automl_core import Shared

if TYPE_CHECKING:
    from distributed import Future as DaskFuture

__all__ = ["SharedValue", "call", "pack", "unpack"]

T = TypeVar("T")
_packing = threading.local()


class SharedValue(Shared[T], Generic[T]):
    """A value that Dask keeps on the workers; here it is the value itself.

    A task that it is packed into depends on `future`, so Dask has the value in the worker's memory before the task runs.
    """

    def __init__(self, value: T) -> None:
        self._value = value
        self.future: DaskFuture | None = None

    def get(self) -> T:
        return self._value

    def __reduce__(self) -> tuple[Any, ...]:
        found: list[SharedValue[Any]] | None = getattr(_packing, "found", None)
        if found is None:
            return _ByKey, (None if self.future is None else self.future.key,)
        if self not in found:
            found.append(self)
        return _Arrived, (found.index(self),)


class _Arrived(Shared[Any]):
    """A shared value in a worker."""

    def __init__(self, place: int) -> None:
        self._value = _packing.values[place]

    def get(self) -> Any:
        return self._value


class _ByKey(Shared[Any]):
    """A shared value that came to a worker by another way than `submit`: Dask brings it when it is asked for."""

    def __init__(self, key: Any) -> None:
        self._key = key

    def get(self) -> Any:
        from distributed import Future, get_client

        return Future(self._key, client=get_client()).result()


def pack(value: Any) -> tuple[bytes, list[SharedValue[Any]]]:
    """Pickle a value, functions of the main script and closures by value, and return what is shared in it."""
    found: list[SharedValue[Any]] = []
    _packing.found = found
    try:
        return bytes(cloudpickle.dumps(value, protocol=5)), found
    finally:
        _packing.found = None


def unpack(data: bytes, values: tuple[Any, ...] = ()) -> Any:
    _packing.values = values
    try:
        return pickle.loads(data)  # noqa: S301 - from our own driver or worker
    finally:
        _packing.values = ()


def call(task: bytes, *values: Any) -> bytes:
    """Run a packed (function, arguments) with what it shares, and return a packed (result, error)."""
    try:
        fn, args = unpack(task, values)
        return pack((fn(*args), None))[0]
    except BaseException as error:  # noqa: BLE001 - the driver's future hands it on
        return _pack_error(error)


def _pack_error(error: BaseException) -> bytes:
    error.add_note("in the worker:\n" + "".join(traceback.format_exception(error)))
    try:
        packed = pack((None, error))[0]
        unpack(packed)  # many exceptions can be pickled but not unpickled: their __init__ takes other arguments
    except Exception:  # noqa: BLE001 - whatever its pickling raises
        return pack((None, RuntimeError("".join(traceback.format_exception_only(error)))))[0]
    return packed
