"""The balancer of compose, on a real nginx before real servers."""

from __future__ import annotations

import http.server
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployment import DEPLOY, need


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Echo(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def balancer(tmp_path: Path) -> Iterator[str]:
    need("nginx", "nginx-light")
    backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=backend.serve_forever, daemon=True).start()
    port = free_port()
    text = (DEPLOY / "docker/nginx.conf").read_text().replace("/tmp/", f"{tmp_path}/")
    # An address in place of the name: there is no DNS of Docker here.
    text = text.replace("set $api automl-api;", "set $api 127.0.0.1;").replace(
        "$api:8000", f"$api:{backend.server_port}"
    )
    (tmp_path / "nginx.conf").write_text(text.replace("listen 8000;", f"listen 127.0.0.1:{port};"))
    # Workers of root become nobody, who may not write here.
    told = "daemon off; user root;" if os.geteuid() == 0 else "daemon off;"
    command = [shutil.which("nginx"), "-c", tmp_path / "nginx.conf", "-g", told]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(10)
    backend.shutdown()
    backend.server_close()


@pytest.mark.parametrize("size", [10, 20 << 20])
def test_requests_reach_a_replica_whole(balancer: str, size: int) -> None:
    with urllib.request.urlopen(urllib.request.Request(f"{balancer}/predict", b"x" * size), timeout=30) as answer:
        assert len(answer.read()) == size
