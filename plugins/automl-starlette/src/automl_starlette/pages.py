"""What is asked now and then: health, models, metrics, the page and its documents."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from automl_starlette.encoding import dump_json
from automl_starlette.exposition import CONTENT_TYPE, expose
from automl_starlette.openapi import describe_api
from automl_starlette.problems import to_problem
from automl_starlette.tensors import describe_tensors

if TYPE_CHECKING:
    from automl_starlette.settings import ServerSettings
    from automl_starlette.state import State

__all__ = ["make_pages"]

STATIC = Path(__file__).parent / "static"
EXTENSIONS = ["binary_tensor_data"]
POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"


class Files(StaticFiles):
    """Files that a browser keeps but asks for again: after an upgrade it must not run the page of before."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers["cache-control"] = "no-cache"
        return response


class Json(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return dump_json(content)


class Pages:
    """The cold routes of one service."""

    def __init__(self, service: Any, state: State) -> None:
        self.service, self.state = service, state

    @property
    def ready(self) -> bool:
        return self.service.started and bool(self.service.models()) and not self.state.draining

    async def live(self, _: Request) -> Response:
        return Json({"live": True})

    async def is_ready(self, _: Request) -> Response:
        return Json({"ready": self.ready}, 200 if self.ready else 503)

    async def ping(self, _: Request) -> Response:
        return Response(status_code=200 if self.ready else 503)

    async def metrics(self, _: Request) -> Response:
        return PlainTextResponse(expose(self.service), media_type=CONTENT_TYPE)

    async def stats(self, _: Request) -> Response:
        totals = self.service.counters.totals()
        workers = self.service.counters.by_slot("requests")
        return Json({"time": time(), "totals": totals, "workers": workers, "drift": self._drift()})

    def _drift(self) -> dict[str, Any]:
        """Return what monitors that keep a summary say."""
        told = {}
        for name, monitor in self.service.monitors.items():
            summary = getattr(monitor, "summary", None)
            if callable(summary):
                told[name] = summary()
        return told

    async def models(self, _: Request) -> Response:
        return Json([{"name": s.name, "version": s.version, "task": s.model.task} for s in self.service.models()])

    async def model(self, request: Request) -> Response:
        return Json(await self._card(request))

    async def _card(self, request: Request) -> dict[str, Any]:
        wanted = request.path_params
        served = self.service.find(wanted.get("name", ""), wanted.get("version", ""))
        # Importance goes through all nodes of the model, once.
        card: dict[str, Any] = await asyncio.to_thread(self.service.describe, served)
        return card

    async def openapi(self, _: Request) -> Response:
        names = sorted({served.name for served in self.service.models()})
        card = self.service.describe(self.service.find())
        return Json(describe_api(card, names=names, labels=self.service.ledger is not None))

    # ---- the Open Inference Protocol

    async def v2(self, _: Request) -> Response:
        return Json({"name": "automl", "version": "2", "extensions": EXTENSIONS})

    async def v2_model(self, request: Request) -> Response:
        card = await self._card(request)
        versions = [s.version for s in self.service.models() if s.name == card["name"]]
        return Json({**describe_tensors(card), "versions": versions})

    async def v2_ready(self, request: Request) -> Response:
        served = self.service.find(request.path_params["name"], request.path_params.get("version", ""))
        return Json({"name": served.name, "ready": self.ready}, 200 if self.ready else 503)

    def routes(self) -> list[Route | Mount]:
        return [
            Route("/health/live", self.live),
            Route("/health/ready", self.is_ready),
            Route("/v2/health/live", self.live),
            Route("/v2/health/ready", self.is_ready),
            Route("/ping", self.ping),
            Route("/metrics", self.metrics),
            Route("/stats", self.stats),
            Route("/models", self.models),
            Route("/models/{name}", self.model),
            Route("/models/{name}/versions/{version}", self.model),
            Route("/v2", self.v2),
            Route("/v2/models/{name}", self.v2_model),
            Route("/v2/models/{name}/versions/{version}", self.v2_model),
            Route("/v2/models/{name}/ready", self.v2_ready),
            Route("/v2/models/{name}/versions/{version}/ready", self.v2_ready),
        ]

    def documents(self) -> list[Route | Mount]:
        files = Files(directory=STATIC)
        return [
            Route("/openapi.json", self.openapi),
            Route("/", _page(files, "index.html")),
            Route("/docs", _page(files, "docs.html")),
            Mount("/static", files),
        ]


def make_pages(service: Any, settings: ServerSettings, state: State) -> Starlette:
    """Return the application of the cold routes; its errors are JSON as everywhere."""
    pages = Pages(service, state)
    routes = pages.routes() + (pages.documents() if settings.docs else [])
    return Starlette(routes=routes, exception_handlers={HTTPException: _http_error, Exception: _error})


def _page(files: Files, name: str) -> Callable[[Request], Awaitable[Response]]:
    async def page(request: Request) -> Response:
        response = await files.get_response(name, request.scope)
        response.headers["content-security-policy"], response.headers["x-frame-options"] = POLICY, "DENY"
        return response

    return page


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    told = {404: f"there is nothing at {request.url.path}.", 405: f"{request.method} is not for {request.url.path}."}
    return Json({"error": told.get(status, str(error))}, status, headers=getattr(error, "headers", None))


async def _error(_: Request, error: Exception) -> Response:
    problem = to_problem(error)
    if problem is None:  # Starlette raises it again, so that the server's log has the traceback
        return Json({"error": "the server failed; its log says more."}, 500)
    return Json({"error": str(problem)}, problem.status)
