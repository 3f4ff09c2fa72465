"""The plan of pods that users make: its queues are those of theory, and it names what a server was measured to need."""

from __future__ import annotations

import re
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest
from packages import ROOT
from served import fit_buyers, serving

from automl.serving.api import create_app

pytest.importorskip("automl_starlette")


@pytest.fixture
def capacity(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import capacity

    return capacity


@pytest.mark.parametrize("services", [[0.002], [0.001, 0.001, 0.001, 0.005]], ids=["even", "uneven"])
def test_users_wait_as_long_as_queueing_theory_says(capacity, services) -> None:
    # Pollaczek and Khinchine, for requests that come at random: 20,000 users, one in 20 s each, to 4 workers.
    played = capacity.play(20_000, 20.0, services, pods=2, cores=2)
    mean, square = np.mean(services), np.mean(np.square(services))
    each = 1000 / 4
    expected = mean + each * square / (2 * (1 - each * mean))
    assert played.rate == pytest.approx(1000, rel=0.03)
    assert played.busy == pytest.approx(each * mean, rel=0.03)
    assert played.latencies.mean() == pytest.approx(expected, rel=0.05)


def test_too_few_pods_answer_as_many_as_they_can(capacity) -> None:
    played = capacity.play(10_000, 5.0, [0.002], pods=1, cores=1)  # 2,000 a second asked for, 500 possible
    assert played.rate == pytest.approx(500, rel=0.05)
    assert played.latencies.min() > capacity.OBJECTIVE


def test_plan_comes_from_a_server_that_runs() -> None:
    with serving(create_app(fit_buyers(), api_keys=("k1",))) as client:
        words = ["1", "--url", str(client.base_url), "--key", "k1", "--users", "5000", "--price", "0.1"]
        command = [sys.executable, str(ROOT / "examples/capacity.py"), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "5,000 users, one request in 10 s each: 500 a second" in done.stdout
    pods = [int(line.split()[0]) for line in done.stdout.splitlines() if re.match(r" +\d+ ", line)]
    assert 10 in pods
