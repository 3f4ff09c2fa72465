"""One LightGBM model of 300 trees behind our server and behind others, one worker and one core each, loaded by wrk in turn.

Each peer runs in an environment of its own, made by uv in a temporary folder and used again; one that cannot be installed
is skipped. Configurations are our reading of each project's documentation, none is tuned by its authors. Run it with
`pytest -m benchmark -s tests/benchmarks/bench_serving_peers.py`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trees import COLUMNS, save_trees
from wrk import Measured, free_port, load, running, write_bodies

pytestmark = pytest.mark.benchmark
pytest.importorskip("automl_starlette")
pytest.importorskip("lightgbm")

SHAPES = [(1, 16), (1, 64), (100, 8)]  # rows, connections

FASTAPI = """
import lightgbm as lgb
import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

booster = lgb.Booster(model_file="m.txt")
app = FastAPI()

class Body(BaseModel):
    rows: list[list[float]]

class Answer(BaseModel):
    predictions: list[float]

@app.post("/predict")
async def predict(body: Body) -> Answer:
    return Answer(predictions=booster.predict(np.array(body.rows), num_threads=1).tolist())

@app.get("/ready")
async def ready() -> bool:
    return True
"""
LITSERVE = """
import sys
import lightgbm as lgb
import litserve as ls
import numpy as np

class Trees(ls.LitAPI):
    def setup(self, device):
        self.booster = lgb.Booster(model_file="m.txt")
    def decode_request(self, request):
        return np.array(request["rows"])
    def predict(self, values):
        return self.booster.predict(values, num_threads=1)
    def encode_response(self, said):
        return {"predictions": said.tolist()}

if __name__ == "__main__":
    ls.LitServer(Trees(), accelerator="cpu", workers_per_device=1).run(
        host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False, log_level="warning"
    )
"""
BENTOML = """
import bentoml
import lightgbm as lgb
import numpy as np

@bentoml.service(workers=1)
class Trees:
    def __init__(self) -> None:
        self.booster = lgb.Booster(model_file="m.txt")

    @bentoml.api
    def predict(self, rows: list[list[float]]) -> list[float]:
        return self.booster.predict(np.array(rows), num_threads=1).tolist()
"""
RAY_SERVE = """
import signal
import sys
import lightgbm as lgb
import numpy as np
import ray
from ray import serve

text = open("m.txt").read()

@serve.deployment(max_ongoing_requests=100, ray_actor_options={"num_cpus": 1})
class Trees:
    def __init__(self):
        self.booster = lgb.Booster(model_str=text)
    async def __call__(self, request):
        if request.method == "GET":
            return True
        rows = (await request.json())["rows"]
        return {"predictions": self.booster.predict(np.array(rows), num_threads=1).tolist()}

if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Trees.bind())
    signal.pause()
"""
MLSERVER = {
    "settings.json": '{"http_port": %d, "grpc_port": %d, "metrics_port": %d, "parallel_workers": 0, "host": "127.0.0.1", "debug": false}',
    "model-settings.json": '{"name": "m", "implementation": "mlserver_lightgbm.LightGBMModel", "parameters": {"uri": "./m.bst"}}',
}
MLFLOW = """
import lightgbm as lgb
import mlflow.lightgbm
mlflow.lightgbm.save_model(lgb.Booster(model_file="m.txt"), "mlflow-model")
"""


@dataclass(frozen=True)
class Peer:
    """How to install and start a server; `{python}`, `{bin}` and `{port}` are filled in."""

    packages: tuple[str, ...]
    command: str
    ready: str
    path: str = "/predict"
    bodies: str = "rows"
    files: tuple[tuple[str, str], ...] = ()
    prepare: str = ""


ALONE = {"OMP_NUM_THREADS": "1", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "disabled"}
LIGHTGBM = ("lightgbm", "numpy")
PEERS = {
    "FastAPI": Peer(
        ("fastapi", "uvicorn", "uvloop", "httptools", *LIGHTGBM),
        "{python} -m uvicorn fast:app --port {port} --no-access-log --log-level warning --loop uvloop --http httptools",
        "/ready",
        files=(("fast.py", FASTAPI),),
    ),
    "LitServe": Peer(("litserve", *LIGHTGBM), "{python} lit.py {port}", "/health", files=(("lit.py", LITSERVE),)),
    "BentoML": Peer(
        ("bentoml", *LIGHTGBM), "{bin}/bentoml serve bento:Trees --port {port} --host 127.0.0.1", "/readyz",
        files=(("bento.py", BENTOML),),
    ),
    # Its proxy and its replica are two processes: they share the one core that each server gets here.
    "Ray Serve": Peer(
        ("ray[serve]", *LIGHTGBM), "{python} ray_serve.py {port}", "/predict", files=(("ray_serve.py", RAY_SERVE),)
    ),
    "MLServer": Peer(
        ("mlserver", "mlserver-lightgbm", "uvloop<0.22", *LIGHTGBM), "{bin}/mlserver start .", "/v2/health/ready",
        path="/v2/models/m/infer", bodies="tensors",
    ),
    "MLflow": Peer(
        ("mlflow", "uvicorn", *LIGHTGBM),
        "{bin}/mlflow models serve -m mlflow-model --env-manager local --host 127.0.0.1 --port {port} --workers 1",
        "/ping", path="/invocations", bodies="inputs", prepare=MLFLOW,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("peers")
    save_trees(folder)
    shutil.copy(folder / "m.txt", folder / "m.bst")
    rng = np.random.default_rng(1)
    for rows, _ in SHAPES:
        write_requests(folder, rng, rows)
    return folder


def write_requests(folder: Path, rng: np.random.Generator, rows: int) -> None:
    made = rng.normal(size=(20_000 // rows, rows, COLUMNS)).round(6)
    write_bodies(folder / f"rows-{rows}", [{"rows": block.tolist()} for block in made])
    write_bodies(folder / f"inputs-{rows}", [{"inputs": block.tolist()} for block in made])
    tensor = {"name": "rows", "shape": [rows, COLUMNS], "datatype": "FP64"}
    write_bodies(
        folder / f"tensors-{rows}", [{"inputs": [{**tensor, "data": block.ravel().tolist()}]} for block in made]
    )


@pytest.fixture(scope="module")
def ours(folder: Path) -> dict[tuple[int, int], Measured]:
    port = free_port()
    environment = {
        "AUTOML_MODEL_URI": str(folder / "m.automl"),
        "AUTOML_PORT": str(port),
        "AUTOML_SERVER_LOCAL_ROWS": "0",
    }
    with running(
        folder, [sys.executable, "-m", "automl.serving"], port, ready="/health/ready", **environment
    ) as server:
        measured = {(rows, count): load(folder, server, f"rows-{rows}", count) for rows, count in SHAPES}
    print()
    for shape, one in measured.items():
        tell("ours", shape, one)
    return measured


def tell(name: str, shape: tuple[int, int], one: Measured, ours: Measured | None = None) -> None:
    rows, connections = shape
    ratio = f"; ours {ours.rate / one.rate:.1f} times as many" if ours else ""
    print(
        f"{rows} row(s), {connections} connections, {name}: {rows * one.rate:,.0f} predictions/s,"
        f" p50 {1e3 * one.median:.2f} ms, p99 {1e3 * one.worst:.1f} ms{ratio}"
    )


def make_environment(name: str, packages: tuple[str, ...]) -> Path:
    """Return the folder of programs of an environment with these packages; skip where they cannot be installed."""
    if shutil.which("uv") is None:
        pytest.skip("needs uv")
    place = Path(tempfile.gettempdir(), "automl-peers", name.lower().replace(" ", "-"))
    python = place / "bin/python"
    commands = [] if python.exists() else [["uv", "venv", "--quiet", "--python", sys.executable, str(place)]]
    commands.append(["uv", "pip", "install", "--quiet", "--python", str(python), *packages])
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"{name} cannot be installed: {done.stderr[-300:]}")
    return place / "bin"


@pytest.mark.parametrize("name", PEERS)
def test_peer(folder: Path, ours: dict[tuple[int, int], Measured], name: str) -> None:
    peer, port = PEERS[name], free_port()
    programs = make_environment(name, peer.packages)
    files: dict[str, Any] = dict(peer.files)
    if name == "MLServer":
        files = {**MLSERVER, "settings.json": MLSERVER["settings.json"] % (port, free_port(), free_port())}
    for file, text in files.items():
        (folder / file).write_text(text)
    if peer.prepare:
        subprocess.run([str(programs / "python"), "-c", peer.prepare], cwd=folder, check=True, capture_output=True)
    command = peer.command.format(python=programs / "python", bin=programs, port=port).split()
    path = f"{programs}:{Path('/usr/bin')}:{Path('/bin')}"
    with running(folder, command, port, ready=peer.ready, PATH=path, **ALONE) as server:
        print()
        for rows, connections in SHAPES:
            measured = load(folder, server, f"{peer.bodies}-{rows}", connections, path=peer.path)
            tell(name, (rows, connections), measured, ours[rows, connections])
