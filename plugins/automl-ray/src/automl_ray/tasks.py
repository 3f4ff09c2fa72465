"""What runs in Ray's workers, and how values travel there and back."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from ray import cloudpickle, exceptions

from automl_core import Shared

__all__ = ["RayShared", "call", "is_loss", "pack", "unpack"]

T = TypeVar("T")
LOSSES = (
    exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.LocalRayletDiedError, exceptions.RpcError,
    exceptions.OutOfMemoryError, exceptions.ObjectLostError,
)  # fmt: skip
KEPT = 3  # shared values that a worker keeps at hand: what was made from them stays with them
_kept: OrderedDict[str, Any] = OrderedDict()


class RayShared(Shared[T], Generic[T]):
    """A value in Ray's object store: one copy for each node, whose arrays workers read where they lie."""

    def __init__(self, value: T, ref: Any) -> None:
        self._value, self._ref = value, ref

    def __reduce__(self) -> tuple[Any, ...]:
        return _Elsewhere, (self._ref,)

    def get(self) -> T:
        return self._value


class _Elsewhere(Shared[Any]):
    """The same in a worker."""

    def __init__(self, ref: Any) -> None:
        self._ref = ref

    def __reduce__(self) -> tuple[Any, ...]:
        return _Elsewhere, (self._ref,)

    def get(self) -> Any:
        import ray

        key = self._ref.hex()
        if key not in _kept:
            value = ray.get(self._ref)
            if len(_kept) >= KEPT:
                _kept.popitem(last=False)
            _kept[key] = value
        _kept.move_to_end(key)
        return _kept[key]


def call(fn: Callable[..., Any], *args: Any) -> bytes:
    """Run `fn(*args)` in a worker; its result, or what it raised, comes back packed."""
    try:
        return pack((fn(*args), None))
    except BaseException as error:  # noqa: BLE001 - a learner may even exit
        return pack((None, _portable(error)))


def is_loss(error: BaseException) -> bool:
    """Tell whether a worker or its node was lost, rather than that what it ran has failed.

    One that outlives its node for a moment says so itself: it cannot get at the data any more.
    """
    if isinstance(error, exceptions.RaySystemError):
        return not isinstance(error.client_exc, Exception)  # else what was to be loaded raised it
    return isinstance(error, LOSSES)


def pack(value: Any) -> bytes:
    """Pickle without Ray's own out-of-band buffers: what comes back then pins nothing in the object store."""
    packed: bytes = cloudpickle.dumps(value)  # type: ignore[no-untyped-call]
    return packed


def unpack(packed: bytes) -> Any:
    return pickle.loads(packed)  # noqa: S301 - from our own workers


def _portable(error: BaseException) -> BaseException:
    """Return the error, or one that says the same where it does not survive pickling."""
    try:
        again = unpack(pack(error))
    except Exception:  # noqa: BLE001 - whatever its class raises
        again = None
    return error if type(again) is type(error) else RuntimeError(f"{type(error).__name__}: {error}")
