"""A server of the standard library: `POST /` with a JSON object, or a list of them, for each row."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pydantic import Field

from automl_core import AutoMLError, ComponentUnavailable, PluginSettings, Server

__all__ = ["JsonServer", "JsonServerSettings"]


class JsonServerSettings(PluginSettings):
    host: str = Field(default="127.0.0.1", description="Address to bind.")
    port: int = Field(default=8000, ge=1, le=65535, description="Port to bind.")


class JsonServer(Server):
    """Answers `{"predictions": [...]}`, or 400 and `{"error": "..."}` for what the model cannot take."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 8000) -> None:
        self._address, self._stopped = (host, port), True

    def serve(self, service: Any) -> None:
        host, port = self._address
        try:
            server = ThreadingHTTPServer(self._address, _handler(service))
        except OSError as error:
            raise ComponentUnavailable(f"the server cannot listen on {host}:{port}: {error.strerror}.") from error
        server.timeout, self._stopped = 0.1, False
        with server:
            while not self._stopped:
                server.handle_request()

    def stop(self) -> None:
        self._stopped = True  # no lock: a signal handler may call it

    def close(self) -> None:
        self.stop()


def _handler(service: Any) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            try:
                rows = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
                status, said = 200, {"predictions": service.predict(rows).listed}
            except (AutoMLError, ValueError) as error:
                status, said = 400, {"error": str(error)}
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler
