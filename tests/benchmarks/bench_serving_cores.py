"""Two workers of the server beside the load on all cores, and what keeps them fast: batches, caches, an even share.

Needs wrk. Run it on a machine that does nothing else: `pytest -m benchmark -s tests/benchmarks/bench_serving_cores.py`.
The ceiling is a raw ASGI application that only parses and predicts, on uvicorn with two workers.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from trees import COLUMNS, save_trees
from wrk import Measured, Running, free_port, load, running, write_bodies

pytestmark = pytest.mark.benchmark
pytest.importorskip("automl_starlette")
pytest.importorskip("lightgbm")

SERVE = [sys.executable, "-m", "automl.serving"]
ARROW = "application/vnd.apache.arrow.stream"
# FREEZE=0 leaves the loaded heap, with the libraries of a serving process of its kind, to the garbage collector.
CEILING = """
import gc
import os
import numpy as np
import orjson
from automl import load_model

if os.environ.get("HEAP"):
    import lightgbm, pandas, sklearn.ensemble
model = load_model("m.automl")
names, predict = model.names, model.predictor.predict
if os.environ.get("FREEZE") != "0":
    gc.collect()
    gc.freeze()

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    data, more = b"", True
    while more:
        message = await receive()
        data, more = data + message.get("body", b""), message.get("more_body", False)
    if data:
        rows = orjson.loads(data)
        values = [[rows[name] for name in names]] if isinstance(rows, dict) else rows
        data = orjson.dumps({"predictions": predict(np.array(values, dtype=np.float32))[:, 1].tolist()})
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data))]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": data})
"""
# Three boosters of 300 trees, each called by its own library: what cannot be flattened is served like this.
HEAVY = """
import sys
import catboost
import lightgbm
import numpy as np
import xgboost
from automl import load_model
from automl.model import Model
from automl.predictor import Opaque, Predictor
from automl.service import ServiceOptions
from automl.serving.api import run_server
from trees import COLUMNS, TREES, make_rows

class Library:
    def __init__(self, model, call, **options):
        self.model, self.call, self.options = model, call, options
    def predict(self, values):
        said = np.asarray(getattr(self.model, self.call)(values, **self.options), dtype=float)
        return said if said.ndim == 2 else np.column_stack([1 - said, said])

def heavy():
    x, y = make_rows()
    first = lightgbm.Booster(model_file="m.txt")
    told = {"max_leaves": 31, "grow_policy": "lossguide", "max_depth": 0, "objective": "binary:logistic", "nthread": 1}
    second = xgboost.train(told, xgboost.DMatrix(x, y), num_boost_round=TREES)
    third = catboost.CatBoostClassifier(iterations=TREES, depth=6, thread_count=1, verbose=False, allow_writing_files=False)
    third.fit(x, y)
    libraries = [
        Library(first, "predict", num_threads=1), Library(second, "inplace_predict"),
        Library(third, "predict_proba", thread_count=1),
    ]
    keep = np.arange(COLUMNS)
    members = [Opaque(f"m{i}", None, one, keep=keep, derived=(), weight=1 / 3) for i, one in enumerate(libraries)]
    predictor = Predictor([], members, classes=2, columns=COLUMNS)
    return Model(load_model("m.automl").encoder, predictor, task="binary", classes=[False, True])

if __name__ == "__main__":
    run_server(heavy(), port=int(sys.argv[1]), options=ServiceOptions(batch_above=float(sys.argv[2]), local_rows=0))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cores")
    save_trees(folder)
    (folder / "ceiling.py").write_text(CEILING)
    (folder / "heavy.py").write_text(HEAVY)
    rng = np.random.default_rng(1)
    names = [f"f{i}" for i in range(COLUMNS)]
    x = rng.normal(size=(20_000, COLUMNS)).round(6)
    write_bodies(folder / "single", [dict(zip(names, row, strict=True)) for row in x.tolist()])
    for rows in (100, 1000):
        blocks = [x[i : i + rows] for i in range(0, len(x), rows)]
        write_bodies(folder / f"json-{rows}", [block.tolist() for block in blocks])
    write_bodies(folder / "doubles-1000", [block.tobytes() for block in blocks])
    write_bodies(folder / "arrow-1000", [to_arrow(dict(zip(names, block.T, strict=True))) for block in blocks])
    return folder


def to_arrow(columns: dict[str, Any]) -> bytes:
    table, sink = pa.table(columns), io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def uvicorn(port: int, *, workers: int = 2, loop: str = "uvloop") -> list[str]:
    command = f"-m uvicorn ceiling:app --no-access-log --log-level warning --http httptools --loop {loop}"
    return [sys.executable, *command.split(), "--workers", str(workers), "--port", str(port)]


@pytest.fixture(scope="module")
def ceiling(folder: Path) -> Iterator[Running]:
    port = free_port()
    with running(folder, uvicorn(port), port, ready="/", apart=False) as server:
        yield server


@pytest.fixture(scope="module")
def ours(folder: Path) -> Iterator[Running]:
    port = free_port()
    told = {"AUTOML_MODEL_URI": str(folder / "m.automl"), "AUTOML_PORT": str(port), "AUTOML_WORKERS": "2"}
    with running(
        folder, SERVE, port, ready="/health/ready", apart=False, AUTOML_SERVER_LOCAL_ROWS="0", **told
    ) as server:
        yield server


def tell(title: str, measured: Measured, rows: int = 1, than: Measured | None = None) -> None:
    ratio = f", {100 * measured.rate / than.rate:.0f} % of the ceiling" if than else ""
    print(
        f"{title}: {measured.rate:,.0f} requests/s, {rows * measured.rate:,.0f} predictions/s{ratio},"
        f" p50 {1e6 * measured.median:,.0f} us, p99 {1e3 * measured.worst:.1f} ms,"
        f" longest {1e3 * measured.longest:.1f} ms"
    )


@pytest.mark.parametrize("connections", [1, 16, 64])
def test_single_rows(folder: Path, ceiling: Running, ours: Running, connections: int) -> None:
    print()
    highest = load(folder, ceiling, "single", connections, apart=False)
    tell(f"single rows, {connections} connections, ceiling", highest)
    tell(
        f"single rows, {connections} connections, ours",
        load(folder, ours, "single", connections, apart=False),
        1,
        highest,
    )


def test_hundred_rows(folder: Path, ceiling: Running, ours: Running) -> None:
    print()
    highest = load(folder, ceiling, "json-100", 16, apart=False)
    tell("100 rows of JSON, 16 connections, ceiling", highest, 100)
    tell("100 rows of JSON, 16 connections, ours", load(folder, ours, "json-100", 16, apart=False), 100, highest)


def test_thousand_rows_by_type(folder: Path, ours: Running) -> None:
    print()
    kinds = {"json": "application/json", "doubles": "application/octet-stream", "arrow": ARROW}
    for name, kind in kinds.items():
        tell(
            f"1,000 rows of {name}, 4 connections", load(folder, ours, f"{name}-1000", 4, kind=kind, apart=False), 1000
        )


def test_heavy_ensemble_with_and_without_batches(folder: Path) -> None:
    for package in ("catboost", "xgboost"):
        pytest.importorskip(package)
    print()
    found: dict[str, Measured] = {}
    for name, above in {"one by one": "1000", "what queued up together": "1e-4"}.items():
        port = free_port()
        command = [sys.executable, "heavy.py", str(port), above]
        path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        with running(folder, command, port, ready="/health/ready", PYTHONPATH=path) as server:
            for connections in (1, 64):
                one = load(folder, server, "single", connections)
                alone = found.setdefault(f"{connections}", one)
                tell(f"three libraries, {name}, {connections} connections ({one.rate / alone.rate:.1f} times)", one)


@pytest.fixture(scope="module")
def redis() -> Iterator[int]:
    if shutil.which("redis-server") is None:
        pytest.skip("needs redis-server: apt-get install redis-server")
    port = free_port()
    process = subprocess.Popen(["redis-server", "--port", str(port), "--save", ""], stdout=subprocess.DEVNULL)
    time.sleep(0.5)
    yield port
    process.terminate()
    process.wait()


def microseconds(call: Callable[[], object], times: int = 2000) -> float:
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return 1e6 * median(taken)


@pytest.mark.parametrize("kind", ["flat", "of three libraries"])
def test_cache_by_cost(folder: Path, redis: int, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that Redis knows, asked for again: where it pays, and where it does not."""
    from automl import load_model
    from automl.service import PredictionService, ServiceOptions
    from automl_redis.cache import RedisCache

    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    model = load_model(folder / "m.automl")
    if kind != "flat":
        model = pytest.importorskip("heavy").heavy()
    row = dict.fromkeys(model.names, 0.5)
    print()
    for policy, local in (("never", 0), ("always", 0), ("auto", 0), ("auto", 100)):
        cache = RedisCache(port=redis)
        with PredictionService(options=ServiceOptions(cache=policy, local_rows=local), cache=cache) as service:
            (served,) = [service.add(model, version="1")]
            served.measure()
            service.predict(row)
            taken = microseconds(lambda service=service: service.predict(row))
            hits, second = service.counters.totals()["remote_hits"], service.known.second
        print(
            f"model {kind}, Redis {policy}, {local} rows in process: {taken:.1f} us a request, {hits:.0f} hits in Redis"
            f" (prediction {1e6 * served.one:.1f} us, lookup {1e6 * second.lookup:.1f} us)"
        )
        cache.close()


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_start_until_ready_and_memory_of_a_worker(folder: Path, workers: int) -> None:
    port = free_port()
    told = {"AUTOML_MODEL_URI": str(folder / "m.automl"), "AUTOML_PORT": str(port), "AUTOML_WORKERS": str(workers)}
    started = time.perf_counter()
    process = subprocess.Popen(SERVE, env={**os.environ, **told}, stdout=subprocess.DEVNULL)
    try:
        while not answers(port):
            assert process.poll() is None
            time.sleep(0.01)
        took = time.perf_counter() - started
        pids = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        own = [private(int(pid)) for pid in pids]
    finally:
        process.terminate()
        process.wait(30)
    print(
        f"\n{workers} workers: ready after {took:.2f} s; memory of each beside what is shared: {max(own):.0f} MiB at most"
    )


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def private(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


# ---- what made answers slow now and then, before and after


def test_collection_of_the_loaded_heap(folder: Path) -> None:
    """A full garbage collection of all that was imported, with the heap frozen and not, on the bare application."""
    print()
    for freeze in ("0", "1"):
        port = free_port()
        command = uvicorn(port, workers=1)
        with running(folder, command, port, ready="/", HEAP="1", FREEZE=freeze) as server:
            measured = load(folder, server, "single", 16)
        tell(f"heap {'frozen' if freeze == '1' else 'collected'}, 16 connections", measured)


@pytest.mark.parametrize("connections", [4, 16])
def test_share_of_workers(folder: Path, ceiling: Running, ours: Running, connections: int) -> None:
    """How evenly two workers share connections: uvicorn's accept each for itself, ours are handed them."""
    print()
    for name, server in (("uvicorn", ceiling), ("ours", ours)):
        before = used(server)
        measured = load(folder, server, "single", connections, apart=False)
        taken = sorted((after - before.get(pid, 0) for pid, after in used(server).items()), reverse=True)[:2]
        tell(f"{name}, {connections} connections, busier of two workers {100 * taken[0] / sum(taken):.0f} %", measured)


def used(server: Running) -> dict[str, int]:
    """Return the clock ticks that each child of a server has taken."""
    pid = server.process.pid
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        found[child] = int(fields[11]) + int(fields[12])
    return found


def test_wait_for_acknowledgements(folder: Path, ours: Running) -> None:
    """Without TCP_NODELAY a second segment waits 40 ms for an acknowledgement: several workers on asyncio's own loop."""
    print()
    port = free_port()
    with running(folder, uvicorn(port, loop="asyncio"), port, ready="/", apart=False) as server:
        tell("uvicorn, two workers on asyncio's loop, 1 connection", load(folder, server, "single", 1, apart=False))
    tell("ours, two workers, 1 connection", load(folder, ours, "single", 1, apart=False))
