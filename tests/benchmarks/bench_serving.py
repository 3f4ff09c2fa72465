"""The server against the ceiling: a raw ASGI application on the same uvicorn that does nothing but parse and predict.

Beside the rate it prints the time of processors that a request takes, which other work on the machine disturbs little.

Needs wrk (`apt-get install wrk`). Run it with `pytest -m benchmark -s tests/benchmarks/bench_serving.py`. Where there are
two cores or more, server and load have one each; other work on the machine disturbs both sides of a ratio alike.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pytest
from wrk import Measured, Running, free_port, load, running, write_bodies

pytestmark = pytest.mark.benchmark
pytest.importorskip("automl_starlette")

COLUMNS = 20
KEY = "key"
ROUNDS = 9
# No checks, no encoder, no limits, no counts: names in their order, values as they are.
CEILING = """
import gc
import numpy as np
import orjson
from automl import load_model

model = load_model("m.automl")
names, predict = model.names, model.predictor.predict
gc.collect()
gc.freeze()

async def app(scope, receive, send):
    data = (await receive()).get("body", b"")
    if data:
        rows = orjson.loads(data)
        values = [[rows[name] for name in names]] if isinstance(rows, dict) else rows
        data = orjson.dumps({"predictions": predict(np.array(values, dtype=np.float32))[:, 1].tolist()})
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data))]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": data})
"""
UVICORN = [
    "-m",
    "uvicorn",
    "ceiling:app",
    "--no-access-log",
    "--log-level",
    "warning",
    "--loop",
    "uvloop",
    "--http",
    "httptools",
    "--port",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from automl import AutoML
    from automl_core.settings import load_settings

    folder = tmp_path_factory.mktemp("serving")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, COLUMNS)).round(6)
    names = [f"f{i}" for i in range(COLUMNS)]
    columns = {name: x[:, i] for i, name in enumerate(names)}
    target = np.where(x[:, 0] * x[:, 1] + x[:, 2] + rng.normal(0, 0.3, 4000) > 0, "yes", "no")
    settings = load_settings(learners="lightgbm")
    engine = AutoML(max_trials=1, time_limit=60, n_jobs=1, settings=settings)
    engine.fit(pa.table({**columns, "y": target}), target="y").save(folder / "m.automl")
    rows = [dict(zip(names, row, strict=True)) for row in rng.normal(size=(20_000, COLUMNS)).round(6).tolist()]
    write_bodies(folder / "single", rows)
    write_bodies(folder / "hundred", [[list(row.values()) for row in rows[i : i + 100]] for i in range(0, 20_000, 100)])
    (folder / "ceiling.py").write_text(CEILING)
    return folder


@pytest.fixture(scope="module")
def servers(folder: Path) -> Iterator[dict[str, Running]]:
    ours = {"AUTOML_MODEL_URI": str(folder / "m.automl"), "AUTOML_SERVER_LOCAL_ROWS": "0"}
    # The page's counts, request ids and limits are always on; these add to them.
    features = {"AUTOML_MONITORS": "drift,prometheus", "AUTOML_DIRECTORY": str(folder / "state")}
    (folder / "keys").write_text(f"another\n{KEY}\n")
    features["AUTOML_PLUGINS__STARLETTE__API_KEYS_FILE"] = str(folder / "keys")
    ceiling, plain, full, cached = (free_port() for _ in range(4))
    kept = {"AUTOML_SERVER_CACHE": "always", "AUTOML_SERVER_LOCAL_ROWS": "100000"}
    serve = [sys.executable, "-m", "automl.serving"]
    with ExitStack() as stack:
        yield {
            "ceiling": stack.enter_context(
                running(folder, [sys.executable, *UVICORN, str(ceiling)], ceiling, ready="/health/ready")
            ),
            "ours": stack.enter_context(
                running(folder, serve, plain, ready="/health/ready", AUTOML_PORT=str(plain), **ours)
            ),
            "all features": stack.enter_context(
                running(folder, serve, full, ready="/health/ready", AUTOML_PORT=str(full), **ours, **features)
            ),
            "cached": stack.enter_context(
                running(folder, serve, cached, ready="/health/ready", AUTOML_PORT=str(cached), **{**ours, **kept})
            ),
        }


def tell(title: str, measured: Measured, rate: float, cost: float, rows: int = 1) -> None:
    """Print what was measured, and its `rate` and time of processors as shares of the ceiling's."""
    print(
        f"{title}: {rows * measured.rate:,.0f} predictions/s, {100 * rate:.0f} % of the ceiling"
        f" ({100 * cost:.0f} % by time of processors, {1e6 * measured.cost:.0f} us),"
        f" p50 {1e6 * measured.median:,.0f} us, p99 {1e3 * measured.worst:.1f} ms"
    )


@pytest.mark.parametrize("connections", [1, 16, 64])
def test_single_rows(servers: dict[str, Running], folder: Path, connections: int) -> None:
    """In turns of a second: the speed of a shared machine drifts within a minute by more than what is measured."""
    print()
    rounds = [
        {name: load(folder, server, "single", connections, key=KEY, seconds=1) for name, server in servers.items()}
        for _ in range(ROUNDS)
    ]
    for name in servers:
        measured = Measured(*(median(getattr(turn[name], f.name) for turn in rounds) for f in fields(Measured)))
        rate, cost = (
            median(turn[name].rate / turn["ceiling"].rate for turn in rounds),
            median(turn["ceiling"].cost / turn[name].cost for turn in rounds),
        )
        tell(f"single rows, {connections} connections, {name}", measured, rate, cost)


def test_hundred_rows(servers: dict[str, Running], folder: Path) -> None:
    ceiling, ours = (load(folder, servers[name], "hundred", 8) for name in ("ceiling", "ours"))
    print()
    tell("100 rows, 8 connections, ours", ours, ours.rate / ceiling.rate, ceiling.cost / ours.cost, 100)


def test_latency_below_the_highest_rate(servers: dict[str, Running], folder: Path) -> None:
    """At 70 % of the highest rate: with the cache off, and with what is asked again and again in the cache."""
    connections = 64
    print()
    for name in ("ours", "all features", "cached"):
        highest = load(folder, servers[name], "single", connections, key=KEY)
        pause = connections / (0.7 * highest.rate) - connections / highest.rate / 4
        paced = load(folder, servers[name], "single", connections, pause=pause, key=KEY)
        print(
            f"single rows, {connections} connections, {name}: p50 {1e3 * paced.median:.2f} ms, p99 {1e3 * paced.worst:.2f} ms"
            f" at {paced.rate:,.0f} requests/s, {100 * paced.rate / highest.rate:.0f} % of the highest rate"
        )
