"""How many pods so many users need, and what they cost: `python examples/capacity.py --url http://HOST:8000 --users 100000`.

It takes the time that a running server needs for a request, alone on one connection, and plays a minute of all users with it: each
thinks for a while, asks, waits for the answer, and thinks again; a balancer sends each request to any worker of any pod, where it
waits for those before it. Measured beside the server, its times include this program's and the network's, and are on the safe side.
Without --url it serves a small model itself.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import math
import os
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from load_test import load, make_bodies, server

BUSY = 0.7  # of its cores, at which the autoscaler adds a pod
MINIMUM = 10  # pods, of deploy/kubernetes
OBJECTIVE = 0.1  # seconds
WARM, PLAYED = 10.0, 60.0  # seconds that are not counted, and that are
MONTH = 730  # hours


@dataclass(frozen=True)
class Played:
    """What so many pods made of it; times are in seconds."""

    pods: int
    busy: float
    latencies: np.ndarray
    rate: float


def main() -> int:
    options = read_options()
    with server(options.url, min(options.seconds, 10)) as url:
        bodies = make_bodies(url, options.key, options.rows)
        measured = asyncio.run(load(url, options.key, bodies, 1, options.seconds / 2, 0.0))
    if measured.faults or not measured.latencies:
        sys.exit(f"the server fails: {measured.faults.most_common(1)}")
    services = np.array(measured.latencies)
    print(
        f"{len(services)} requests of {options.rows} row(s), one at a time: mean {1e6 * services.mean():.0f} us,"
        f" p99 {1e6 * np.percentile(services, 99):.0f} us; {1 / services.mean():,.0f} a second and core"
    )
    rate = options.users / options.think
    needed = math.ceil(rate * services.mean() / (BUSY * options.cores))
    print(
        f"{options.users:,} users, one request in {options.think:g} s each: {rate:,.0f} a second, {needed} pod(s) by rule\n"
    )
    print("pods  cores   busy  requests/s   p50 ms   p99 ms   max ms  over 100 ms   a month  a million requests")
    for pods in sorted({max(needed, 2), MINIMUM, 2 * needed}):
        tell(play(options.users, options.think, services, pods, options.cores), options.cores, options.price)
    return 0


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("seconds", nargs="?", type=float, default=10.0, help="in all to measure; default 10")
    parser.add_argument("--url", help="of the server, such as http://127.0.0.1:8000")
    parser.add_argument("--key", default=os.environ.get("API_KEY", ""), help="an API key; default $API_KEY")
    parser.add_argument("--users", type=int, default=100_000, help="at the same time; default 100,000")
    parser.add_argument("--think", type=float, default=10.0, help="seconds between two requests of one; default 10")
    parser.add_argument("--rows", type=int, default=1, help="of a request; default 1")
    parser.add_argument("--cores", type=int, default=2, help="and workers of a pod; default 2")
    parser.add_argument("--price", type=float, default=0.05, help="of a core for an hour; default 0.05")
    return parser.parse_args()


def play(users: int, think: float, services: Sequence[float] | np.ndarray, pods: int, cores: int) -> Played:
    """Return what the users of a minute meet: a queue before each worker, first come, first served."""
    chance = random.Random(0)
    free = [0.0] * (pods * cores)  # when each worker is
    times = list(services)
    coming = [chance.expovariate(1 / think) for _ in range(users)]
    heapq.heapify(coming)
    latencies, worked, end = [], 0.0, WARM + PLAYED
    while (now := coming[0]) < end:
        worker, service = chance.randrange(len(free)), chance.choice(times)
        answered = max(now, free[worker]) + service
        free[worker] = answered
        if now > WARM:
            latencies.append(answered - now)
            worked += service
        heapq.heapreplace(coming, answered + chance.expovariate(1 / think))
    return Played(pods, worked / (PLAYED * len(free)), np.array(latencies), len(latencies) / PLAYED)


def tell(played: Played, cores: int, price: float) -> None:
    p50, p99, most = 1e3 * np.percentile(played.latencies, [50, 99, 100])
    late, month = float(np.mean(played.latencies > OBJECTIVE)), played.pods * cores * price * MONTH
    print(
        f"{played.pods:4d}{played.pods * cores:7d}{100 * played.busy:6.0f} %{played.rate:12,.0f}{p50:9.2f}{p99:9.2f}{most:9.2f}"
        f"{100 * late:11.3f} %{month:10,.0f}{1e6 * month / (MONTH * 3600 * played.rate):20.4f}"
    )


if __name__ == "__main__":
    sys.exit(main())
