"""Load a running server, and print how much it answers and how fast: `python examples/load_test.py --url http://HOST:8000`.

Rows are made up from what the server knows of its model's columns. There are 20,000 of them: a server whose cache should
not answer is started with AUTOML_SERVER_LOCAL_ROWS=0 and without Redis. Without --url this serves a small model itself. Latency counts from when a request was due: with --rate a server that stalls is
charged for those that had to wait. It exits with 1 where a request failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

PERCENTILES = (50, 90, 99, 99.9, 100)
ROWS = 20_000  # different ones, used in turn


@dataclass
class Level:
    """What one number of connections brought; latencies are in seconds."""

    connections: int
    latencies: list[float] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    busy: float = 0.0  # the share of a processor that this program took

    def percentiles(self) -> list[float]:
        return [1e3 * float(value) for value in np.percentile(self.latencies or [np.nan], PERCENTILES)]


def main() -> int:
    options = read_options()
    with server(options.url, min(options.seconds, 10)) as url:
        bodies = make_bodies(url, options.key, options.rows)
        counts = [int(text) for text in options.connections.split(",")]
        print(f"POST {url}/predict, {options.rows} row(s) each, {options.seconds / len(counts):.1f} s a line\n")
        print("connections  requests  requests/s      rows/s   p50 ms   p90 ms   p99 ms p99.9 ms   max ms  failed")
        levels = []
        for count in counts:
            share = options.seconds / len(counts)
            levels.append(asyncio.run(load(url, options.key, bodies, count, share, options.rate)))
            tell(levels[-1], options.rows)
    for level in levels:
        for fault, times in level.faults.most_common(3):
            print(f"\n{level.connections} connections: {times} times {fault}")
    if max(level.busy for level in levels) > 0.9:
        print("\nThis program took a whole processor: the server can do more. Run several of it, or wrk.")
    if options.html:
        Path(options.html).write_text(draw(levels, url), encoding="utf-8")
        print(f"\nopen {options.html} in a browser")
    return int(any(level.faults for level in levels))


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("seconds", nargs="?", type=float, default=20.0, help="in all; default 20")
    parser.add_argument("--url", help="of the server, such as http://127.0.0.1:8000")
    parser.add_argument("--key", default=os.environ.get("API_KEY", ""), help="an API key; default $API_KEY")
    parser.add_argument("--connections", default="1,4,16,64", help="at a time; default 1,4,16,64")
    parser.add_argument("--rows", type=int, default=1, help="of a request; default 1")
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second; default as many as are answered")
    parser.add_argument("--html", help="a FILE for a drawing")
    return parser.parse_args()


@contextmanager
def server(url: str | None, seconds: float) -> Iterator[str]:
    """Give the address of a server: the one named, or one of a small model."""
    if url:
        yield url.rstrip("/")
        return
    from sklearn.datasets import load_breast_cancer

    from automl import AutoML

    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        data, target = load_breast_cancer(return_X_y=True, as_frame=True)
        AutoML(time_limit=seconds).fit(data, target).save(f"{folder}/model.automl")
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        variables = {**os.environ, "AUTOML_MODEL_URI": f"{folder}/model.automl", "AUTOML_PORT": str(port)}
        process = subprocess.Popen([sys.executable, "-m", "automl.serving"], env=variables)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def get(url: str, key: str) -> Any:
    """Return JSON, of a server that may still be starting."""
    request = urllib.request.Request(url, headers={"x-api-key": key} if key else {})
    for attempt in range(100):
        try:
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            sys.exit(f"{url} answers {error.code}: {error.read().decode()}")
        except OSError as error:
            if attempt == 99:
                sys.exit(f"{url} does not answer: {error}")
            time.sleep(0.1)
    raise AssertionError


def make_bodies(url: str, key: str, rows: int) -> list[bytes]:
    """Make up requests from the ranges and levels that the model was trained on."""
    name = get(f"{url}/models", key)[0]["name"]
    inputs = get(f"{url}/models/{name}", key)["inputs"]
    chance = random.Random(0)

    def value(item: dict[str, Any]) -> Any:
        if item.get("levels"):
            return chance.choice(item["levels"])
        if item.get("minimum") is None:
            return item["example"]
        drawn = chance.uniform(item["minimum"], item["maximum"])
        return round(drawn) if item["integer"] else round(drawn, 6)

    made = [[{item["name"]: value(item) for item in inputs} for _ in range(rows)] for _ in range(max(ROWS // rows, 1))]
    return [json.dumps(body[0] if rows == 1 else body).encode() for body in made]


async def load(url: str, key: str, bodies: list[bytes], count: int, seconds: float, rate: float) -> Level:
    """Ask on so many connections for so long."""
    level = Level(count)
    started, used = time.perf_counter(), time.process_time()
    until = started + seconds
    every = count / rate if rate else 0.0  # between two requests of one connection
    asking = [
        ask(level, url, key, bodies[i::count] or bodies, started + i * every / count, every, until)
        for i in range(count)
    ]
    await asyncio.gather(*asking)
    level.seconds = time.perf_counter() - started
    level.busy = (time.process_time() - used) / level.seconds
    return level


async def ask(level: Level, url: str, key: str, bodies: list[bytes], due: float, every: float, until: float) -> None:
    """Ask on one connection, which is opened anew where it was lost."""
    parts = urlsplit(url)
    head = f"POST {parts.path}/predict HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
    head += f"x-api-key: {key}\r\n" if key else ""
    requests = [f"{head}content-length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
    secure, port = parts.scheme == "https", parts.port or (443 if parts.scheme == "https" else 80)
    writer, turn = None, 0
    while (now := time.perf_counter()) < until:
        if every and due > now:
            await asyncio.sleep(min(due, until) - now)
            if due >= until:
                break
        begun, due = due if every else now, due + every
        try:
            if writer is None:
                reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=secure or None)
            writer.write(requests[turn % len(requests)])
            status, said = await read_answer(reader)
        except (OSError, EOFError, ValueError) as error:
            level.faults[f"{type(error).__name__}: {error}"] += 1
            if writer is not None:
                writer.close()
                writer = None
            await asyncio.sleep(0.05)
            continue
        turn += 1
        if status == 200:
            level.latencies.append(time.perf_counter() - begun)
        else:
            level.faults[f"{status}: {said.decode(errors='replace')[:200]}"] += 1
    if writer is not None:
        writer.close()


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
    return int(head[9:12]), await reader.readexactly(int(length))


def tell(level: Level, rows: int) -> None:
    rate = len(level.latencies) / level.seconds
    times = "".join(f"{value:9.2f}" for value in level.percentiles())
    counts = f"{level.connections:11d}{len(level.latencies):10d}{rate:12,.0f}{rate * rows:12,.0f}"
    print(f"{counts}{times}{level.faults.total():8d}", flush=True)


def draw(levels: list[Level], url: str) -> str:
    """Return a page with one bar for the rate, and one for each percentile, of each line of the table."""
    rates = [len(level.latencies) / level.seconds for level in levels]
    rows = []
    for level, rate in zip(levels, rates, strict=True):
        bars = [("requests/s", rate, max(rates), "#1a5fcc")]
        slowest = max(max(other.percentiles()) for other in levels)
        for percentile, value in zip(PERCENTILES, level.percentiles(), strict=True):
            bars.append((f"p{percentile:g} ms" if percentile < 100 else "max ms", value, slowest, "#b93434"))
        rows.append(f"<h2>{level.connections} connections</h2>")
        for name, value, most, colour in bars:
            width = 100 * value / most if most > 0 else 0
            rows.append(
                f"<div><span>{name}</span><b>{value:,.2f}</b><svg height=14 width='60%'>"
                f"<rect width='{width:.2f}%' height=14 fill='{colour}'/></svg></div>"
            )
    style = "body{font:16px system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}span,b{display:inline-block;width:7rem}"
    return (
        f"<!doctype html><meta charset=utf-8><title>Load</title><style>{style}</style><h1>{url}</h1>{''.join(rows)}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
