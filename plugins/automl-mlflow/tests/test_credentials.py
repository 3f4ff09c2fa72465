"""What guards a server, such as a proxy before MLflow, is told who asks."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from automl_mlflow.connection import Connection, Refused
from automl_mlflow.settings import MLflowConfig

USER = "Basic " + base64.b64encode(b"me:hunter2").decode()
EXPERIMENT = {"experiment": {"experiment_id": "7", "name": "automl", "lifecycle_stage": "active"}}


class Guard(BaseHTTPRequestHandler):
    """Lets in who has the token or the password, and knows one experiment. Who asks for another one is told of in JSON."""

    def do_GET(self) -> None:
        allowed = self.path == "/health" or self.headers["Authorization"] in ("Bearer s3same", USER)
        denial = b'{"error": "unauthorized"}' if "json" in self.path else b"who are you?"
        body = json.dumps(EXPERIMENT).encode() if allowed else denial
        self.send_response(200 if allowed else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", "")  # what settings put there goes when the test ends
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Guard)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("known", [{"token": "s3same"}, {"username": "me", "password": "hunter2"}])
def test_known_caller_is_let_in(address: str, tmp_path: Path, known: dict[str, str]) -> None:
    config = MLflowConfig.model_validate({"tracking_uri": address, **known})
    assert Connection(config, tmp_path).experiment() == "7"


@pytest.mark.parametrize("experiment", ["plain", "json"])
def test_wrong_token_is_refused_and_not_shown(address: str, tmp_path: Path, experiment: str) -> None:
    config = MLflowConfig.model_validate(
        {"tracking_uri": address, "token": "s3same-wrong", "experiment_name": experiment}
    )
    with pytest.raises(Refused, match=r"denies access \(401\)") as caught:
        Connection(config, tmp_path).experiment()
    assert "s3same" not in str(caught.value)
