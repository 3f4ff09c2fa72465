"""The application: predictions on raw ASGI, all else on Starlette.

Routing, request and response objects cost about 11 of the 30 microseconds that a prediction takes: what is hot does
without them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import count
from time import perf_counter, time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from automl_core import AutoMLError
from automl_starlette.bodies import Disconnected, read_body
from automl_starlette.decoding import decode, load_arrow
from automl_starlette.encoding import JSON, dump_json, encode
from automl_starlette.keys import Keys
from automl_starlette.labels import read_labels
from automl_starlette.pages import make_pages
from automl_starlette.problems import Problem, to_problem
from automl_starlette.state import State
from automl_starlette.tensors import parse_inference

if TYPE_CHECKING:
    from automl_starlette.settings import ServerSettings

__all__ = ["Application", "create_app"]

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
OPEN = ("/health/", "/v2/health/", "/static/", "/ping")  # what needs no key
LABELS = "/labels"
ARROW = b"vnd.apache.arrow"
FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
EXPLAINED = 1000  # rows of one explanation
log = logging.getLogger("automl.server")
access = logging.getLogger("automl.access")


@dataclass(slots=True)
class Request:
    """What the hot paths need of a request."""

    path: str
    headers: Mapping[bytes, bytes]
    query: Mapping[str, str]
    body: bytes
    id: str

    def flag(self, name: str) -> bool:
        text = self.query.get(name)
        if text is None:
            return False
        try:
            return FLAGS[text.lower()]
        except KeyError:
            raise Problem(400, f"{name} is {text!r}; it is true or false.") from None


class Application:
    """Answers HTTP for a prediction service.

    Args:
        service: an `automl.service.PredictionService`, started or not.
    """

    def __init__(self, service: Any, settings: ServerSettings, state: State | None = None) -> None:
        self.service, self.settings, self.state = service, settings, state or State()
        self.keys = Keys((key.get_secret_value() for key in settings.api_keys), settings.api_keys_file)
        self._pages = make_pages(service, settings, self.state)
        self._hot = {
            "/predict": self._predict,
            "/invocations": self._predict,
            "/predict_proba": self._predict_proba,
            "/explain": self._explain,
            LABELS: self._label,
        }
        self._arrow = False  # whether what reads it is loaded
        self._prefix, self._numbers = os.urandom(6).hex().encode(), count()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._live(receive, send)
            return
        path, method = scope["path"], scope["method"]
        work = self._hot.get(path)
        if work is None and path.startswith("/v2/models/") and path.endswith("/infer"):
            work = self._infer
        if work is not None and method == "POST":
            await self._answer(scope, receive, send, work)
        elif work is not None and method != "OPTIONS":
            await self._refuse(
                scope, send, Problem(405, f"{method} is not for {path}: use POST.", [(b"allow", b"POST")])
            )
        elif self._lets_pass(path, dict(scope["headers"])):
            await self._pages(scope, receive, send)
        else:
            await self._refuse(scope, send, Problem(401, "this needs a key.", [(b"www-authenticate", b"Bearer")]))

    async def _live(self, receive: Receive, send: Send) -> None:
        """Start and close the service with the server around it: the lifespan of ASGI."""
        await receive()
        try:
            await asyncio.to_thread(self.service.start)
        except AutoMLError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.state.draining = True
        await asyncio.to_thread(self.service.close)
        await send({"type": "lifespan.shutdown.complete"})

    def _lets_pass(self, path: str, headers: Mapping[bytes, bytes]) -> bool:
        if not self.keys.needed or path == "/" or path.startswith(OPEN):
            return True
        try:
            self.keys.check(headers)
        except Problem:
            return False
        return True

    # ---- around a prediction

    async def _answer(
        self, scope: Any, receive: Receive, send: Send, work: Callable[[Request], Awaitable[tuple[Headers, bytes]]]
    ) -> None:
        started = perf_counter()
        headers = dict(scope["headers"])
        request_id = headers.get(b"x-request-id") or b"%b-%x" % (self._prefix, next(self._numbers))
        try:
            if self.keys.needed:
                self.keys.check(headers)
            body = await read_body(receive, headers, limit=self.settings.max_body, seconds=self.settings.body_timeout)
            query = scope["query_string"]
            request = Request(
                scope["path"], headers, _read_query(query) if query else {}, body, request_id[:128].decode("latin-1")
            )
            found, payload = await work(request)
            status = 200
        except Disconnected:
            return
        except Exception as error:  # noqa: BLE001 - every request gets an answer
            status, found, payload = self._fail(error, scope["path"], request_id)
        found += [(b"content-length", b"%d" % len(payload)), (b"x-request-id", request_id[:128])]
        if self.state.draining:
            found.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": found})
        await send({"type": "http.response.body", "body": payload})
        seconds = perf_counter() - started
        if scope["path"] != LABELS:
            self.service.counters.add_request(seconds)
        if self.settings.access_log:
            _log_access(scope, status, seconds, request_id, len(payload))

    def _fail(self, error: Exception, path: str, request_id: bytes) -> tuple[int, Headers, bytes]:
        problem = to_problem(error)
        if problem is None:
            log.error("%s failed, request %s", path, request_id.decode("latin-1"), exc_info=error)
            problem = Problem(500, "the server failed; its log says more under this request id.")
        self.service.failed("", type(error).__name__ if problem.status >= 500 else str(problem.status))
        body = {"error": str(problem), "request_id": request_id.decode("latin-1")}
        return problem.status, [(b"content-type", JSON), *problem.headers], dump_json(body)

    async def _refuse(self, scope: Any, send: Send, problem: Problem) -> None:
        payload = dump_json({"error": str(problem)})
        headers = [(b"content-type", JSON), (b"content-length", b"%d" % len(payload)), *problem.headers]
        await send({"type": "http.response.start", "status": problem.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else payload})

    # ---- predictions

    def _predict(self, request: Request) -> Awaitable[tuple[Headers, bytes]]:
        return self._say(request, bool(request.query) and request.flag("proba"))

    def _predict_proba(self, request: Request) -> Awaitable[tuple[Headers, bytes]]:
        return self._say(request, True)

    async def _say(self, request: Request, proba: bool) -> tuple[Headers, bytes]:
        headers = request.headers
        served = self._find(request)
        kind, accept = headers.get(b"content-type", b""), headers.get(b"accept", b"")
        if not self._arrow and (ARROW in kind or ARROW in accept):
            await asyncio.to_thread(load_arrow)  # other requests do not wait for it
            self._arrow = True
        data = decode(request.body, kind, served.model.names)
        answer = self.service.begin(data, served=served, deadline=self.settings.deadline, request_id=request.id)
        if type(answer) is Future:
            answer = await self._wait(answer)
        kind, payload = encode(answer, accept, proba=proba)
        return [(b"content-type", kind)], payload

    def _find(self, request: Request) -> Any:
        """Return the version that the query asks for."""
        query = request.query
        if not query:
            return self.service.find()
        return self.service.find(query.get("model", ""), query.get("version", ""), key=query.get("key", ""))

    async def _wait(self, answer: Future[Any]) -> Any:
        return await asyncio.wait_for(asyncio.wrap_future(answer), self.settings.deadline)

    async def _infer(self, request: Request) -> tuple[Headers, bytes]:
        name, version = _model_of(request.path)
        served = self.service.find(name, version)
        asked = parse_inference(
            request.body,
            request.headers.get(b"inference-header-content-length"),
            served.model.names,
            classes=served.model.task != "regression",
        )
        answer = self.service.begin(asked.data, served=served, deadline=self.settings.deadline, request_id=request.id)
        return asked.answer(await self._wait(answer) if type(answer) is Future else answer)

    async def _explain(self, request: Request) -> tuple[Headers, bytes]:
        served = self._find(request)
        data = decode(request.body, request.headers.get(b"content-type", b""), served.model.names)
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(None, _explain, served, data)
        return [(b"content-type", JSON)], await asyncio.wait_for(work, self.settings.deadline)

    async def _label(self, request: Request) -> tuple[Headers, bytes]:
        truths = read_labels(request.body)
        return [(b"content-type", JSON)], dump_json(await asyncio.to_thread(self.service.label, truths))


def create_app(service: Any, settings: ServerSettings, state: State | None = None) -> Any:
    """Return the ASGI application of a service, within CORS where settings allow origins."""
    app = Application(service, settings, state)
    if not settings.cors_origins:
        return app
    from starlette.middleware.cors import CORSMiddleware

    return CORSMiddleware(app, allow_origins=list(settings.cors_origins), allow_methods=["*"], allow_headers=["*"])


def _read_query(query: bytes) -> dict[str, str]:
    found = parse_qs(query.decode("latin-1"), keep_blank_values=True, max_num_fields=50)
    return {name: values[-1] for name, values in found.items()}


def _model_of(path: str) -> tuple[str, str]:
    parts = path.split("/")  # "", v2, models, NAME, infer, or with versions, VERSION between
    if len(parts) == 5:
        return parts[3], ""
    if len(parts) == 7 and parts[4] == "versions":
        return parts[3], parts[5]
    raise Problem(404, "the path is /v2/models/NAME/infer, or /v2/models/NAME/versions/VERSION/infer.")


def _explain(served: Any, data: Any) -> bytes:
    model = served.model
    predictions = model.predict(data).tolist()
    if len(predictions) > EXPLAINED:  # before the work: where networks take part, a row takes milliseconds
        raise Problem(413, f"at most {EXPLAINED} rows are explained at a time.")
    values = model.predict_contributions(data)
    if model.task == "binary":
        values = values[:, :, 1]  # of the second class: the first one's are the negatives
    contributions = [dict(zip(model.names, row[:-1].tolist(), strict=True)) for row in values]
    said = {"predictions": predictions, "base": values[:, -1].tolist(), "contributions": contributions}
    if model.task != "regression":
        said["classes"] = model.classes_.tolist()
    return dump_json({**said, "model": served.name, "version": served.version})


def _log_access(scope: Any, status: int, seconds: float, request_id: bytes, size: int) -> None:
    client = scope.get("client")
    line = {
        "time": round(time(), 3), "client": client[0] if client else None, "method": scope["method"],
        "path": scope["path"], "status": status, "ms": round(1e3 * seconds, 3), "bytes": size,
        "request_id": request_id.decode("latin-1"),
    }  # fmt: skip
    access.info("%s", json.dumps(line))
