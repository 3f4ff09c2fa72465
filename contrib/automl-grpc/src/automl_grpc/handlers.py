"""What answers the calls."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from time import perf_counter
from typing import TYPE_CHECKING, Any

import grpc

from automl_core import DataError, __version__
from automl_grpc.protocol import METHODS, SERVICE, message
from automl_grpc.tensors import describe_model, read_rows, wanted_outputs, write_answer

if TYPE_CHECKING:
    from automl_grpc.settings import GrpcSettings

__all__ = ["Handlers"]

OPEN = frozenset({"ServerLive", "ServerReady", "ModelReady"})  # what needs no key
CODE = grpc.StatusCode
# The service's errors are known by name: a plugin does not import the sdk.
STATUS = {
    "Unknown": CODE.NOT_FOUND, "TooManyRows": CODE.INVALID_ARGUMENT, "Overloaded": CODE.RESOURCE_EXHAUSTED,
    "ComponentUnavailable": CODE.UNAVAILABLE, "Expired": CODE.DEADLINE_EXCEEDED,
}  # fmt: skip
log = logging.getLogger("automl.grpc")


class Handlers:
    """Answers the calls of the Open Inference Protocol for an `automl.service.PredictionService`, on one event loop."""

    def __init__(self, service: Any, settings: GrpcSettings) -> None:
        self.service, self.settings, self.draining = service, settings, False
        self._keys = tuple(key.get_secret_value().encode() for key in settings.api_keys)

    def generic(self) -> Any:
        """Return the handlers for a server of `grpc.aio`."""
        calls = {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._metadata,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._infer,
        }
        methods = {
            name: grpc.unary_unary_rpc_method_handler(
                self._around(name, calls[name]),
                request_deserializer=message(f"{name}Request").FromString,
                response_serializer=message(f"{name}Response").SerializeToString,
            )
            for name in METHODS
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    def _around(self, name: str, call: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
        async def answer(request: Any, context: Any) -> Any:
            if name not in OPEN and not self._lets_pass(context):
                await context.abort(CODE.UNAUTHENTICATED, "this needs a key, as 'authorization: Bearer KEY'.")
            started = perf_counter()
            try:
                response = await call(request, context)
            except Exception as error:  # noqa: BLE001 - every call gets an answer
                self._count(name, started)
                await self._fail(name, error, context)
            else:
                self._count(name, started)
                return response

        return answer

    def _lets_pass(self, context: Any) -> bool:
        if not self._keys:
            return True
        shown = dict(context.invocation_metadata() or ()).get("authorization", "")
        key = shown[7:].strip().encode() if shown[:7].lower() == "bearer " else b""
        # All keys are compared, each in constant time: the time taken tells nothing.
        return any([hmac.compare_digest(key, one) for one in self._keys])  # noqa: C419

    def _count(self, name: str, started: float) -> None:
        """Count before the answer leaves: who has it finds it counted."""
        if name == "ModelInfer":
            self.service.counters.add_request(perf_counter() - started)

    async def _fail(self, name: str, error: Exception, context: Any) -> None:
        code, said = _to_status(error)
        if code == CODE.INTERNAL:
            log.error("%s failed", name, exc_info=error)
        if name == "ModelInfer":
            self.service.failed("", type(error).__name__)
        wait = getattr(error, "retry_after", None)
        trailing = () if wait is None else (("grpc-retry-pushback-ms", str(int(1000 * wait))),)
        await context.abort(code, said, trailing)

    # ---- calls

    @property
    def ready(self) -> bool:
        return self.service.started and bool(self.service.models()) and not self.draining

    async def _live(self, _: Any, __: Any) -> Any:
        return message("ServerLiveResponse")(live=True)

    async def _ready(self, _: Any, __: Any) -> Any:
        return message("ServerReadyResponse")(ready=self.ready)

    async def _model_ready(self, request: Any, _: Any) -> Any:
        self.service.find(request.name, request.version)
        return message("ModelReadyResponse")(ready=self.ready)

    async def _metadata(self, _: Any, __: Any) -> Any:
        return message("ServerMetadataResponse")(name="automl", version=__version__)

    async def _model_metadata(self, request: Any, _: Any) -> Any:
        served = self.service.find(request.name, request.version)
        # Importance goes through all nodes of the model, once.
        card = await asyncio.to_thread(self.service.describe, served)
        return describe_model(card, [one.version for one in self.service.models() if one.name == served.name])

    async def _infer(self, request: Any, context: Any) -> Any:
        served = self.service.find(request.model_name, request.model_version)
        outputs = wanted_outputs(request, classes=served.model.task != "regression")
        data = read_rows(request, served.model.names)
        seconds = min(self.settings.deadline, context.time_remaining() or self.settings.deadline)
        answer = self.service.begin(data, served=served, deadline=seconds, request_id=request.id[:128])
        if isinstance(answer, Future):
            answer = await asyncio.wait_for(asyncio.wrap_future(answer), seconds)
        return write_answer(answer, request, outputs)


def _to_status(error: Exception) -> tuple[grpc.StatusCode, str]:
    """Return the code for an error, and what to tell the client."""
    if isinstance(error, TimeoutError | CancelledError):
        return CODE.DEADLINE_EXCEEDED, "the prediction took longer than the deadline."
    name = type(error).__name__
    if name in STATUS:
        return STATUS[name], str(error)
    if isinstance(error, DataError):
        return CODE.INVALID_ARGUMENT, str(error)
    return CODE.INTERNAL, "the server failed; its log says more."
