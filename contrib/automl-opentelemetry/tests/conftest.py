"""An OTLP/HTTP receiver: what arrived, decoded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class Receiver:
    def __init__(self) -> None:
        self.url = ""
        self.metrics: list[Any] = []
        self.traces: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.came, self.answers = threading.Event(), threading.Event()
        self.answers.set()

    @property
    def resources(self) -> list[dict[str, Any]]:
        return [self.plain(part.resource.attributes) for request in self.metrics for part in request.resource_metrics]

    def spans(self) -> list[Any]:
        """All spans, in the order of their arrival."""
        return [
            span
            for request in self.traces
            for part in request.resource_spans
            for scope in part.scope_spans
            for span in scope.spans
        ]

    def points(self) -> dict[str, list[Any]]:
        """The data points of the last request with metrics, by name."""
        parts = self.metrics[-1].resource_metrics
        metrics = [metric for part in parts for scope in part.scope_metrics for metric in scope.metrics]
        return {metric.name: list(getattr(metric, metric.WhichOneof("data")).data_points) for metric in metrics}

    @staticmethod
    def plain(attributes: Any) -> dict[str, Any]:
        return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in attributes}

    def take(self, path: str, body: bytes) -> None:
        from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        if path == "/v1/metrics":
            self.metrics.append(ExportMetricsServiceRequest.FromString(body))
        elif path == "/v1/traces":
            self.traces.append(ExportTraceServiceRequest.FromString(body))
        else:
            raise ValueError(f"nothing is sent to {path}")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.came.set()
            receiver.answers.wait(60)
            receiver.headers.append({name.lower(): value for name, value in self.headers.items()})
            receiver.take(self.path, body)
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Keep the terminal clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield receiver
    finally:
        receiver.answers.set()
        server.shutdown()
        server.server_close()
        thread.join()
