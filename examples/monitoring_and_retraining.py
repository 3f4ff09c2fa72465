"""From a model in production to a better one, without a person: the world changes, an alert is raised, a challenger wins.

python examples/monitoring_and_retraining.py
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from threading import Event as Flag

import numpy as np

from automl import AutoML
from automl.service import PredictionService, ServiceOptions
from automl_core import Event, Plugins, hookimpl
from automl_core.settings import load_settings

NAME, ROWS = "loans", 20
numbers = count(1)


def make(rows: int, seed: int, *, changed: bool = False) -> tuple[list[dict[str, float]], list[str]]:
    """Make up clients, and whether they pay; after the change it is the others who do."""
    random = np.random.default_rng(seed)
    income, debt = random.normal(size=(2, rows)) + changed
    pays = np.where((income - debt + 0.3 * random.normal(size=rows) > 0) ^ changed, "yes", "no")
    return [{"income": float(a), "debt": float(b)} for a, b in zip(income, debt, strict=True)], pays.tolist()


class Pager:
    """A listener: any object whose hooks are told of events; an installed plugin named in `listeners` is one, too."""

    def __init__(self) -> None:
        self.degraded = Flag()

    @hookimpl
    def automl_alert_raised(self, alert: Event) -> None:
        print(f"alert: {alert.name} of {alert.attributes['model']}", flush=True)
        if alert.name == "degradation":
            self.degraded.set()


def traffic(service: PredictionService, requests: int, *, changed: bool = False) -> float:
    """Send requests, tell what was true of them, and return the share of right answers."""
    right = 0
    for _ in range(requests):
        number = next(numbers)
        rows, truth = make(ROWS, number, changed=changed)
        said = service.predict(rows, request_id=f"r{number}").listed
        right += sum(a == b for a, b in zip(said, truth, strict=True))
        service.label(
            {f"r{number}": truth}
        )  # days later, in life; a label may also come before its prediction is written
    return right / (requests * ROWS)


def wait_for(found: Callable[[], object], what: str) -> None:
    for _ in range(2400):
        if found():
            return
        time.sleep(0.05)
    raise TimeoutError(f"{what} did not come in two minutes")


def main(seconds: float = 10.0) -> None:
    folder = Path(tempfile.mkdtemp())
    # For the commands below as well; the simplest learners suffice for two numbers.
    os.environ.update(AUTOML_DIRECTORY=str(folder), AUTOML_TRACKERS="journal", AUTOML_LEARNERS="sklearn")
    logging.getLogger("automl").setLevel(logging.ERROR)
    rows, truth = make(2000, 0)
    AutoML(time_limit=None, max_trials=2, metric="accuracy").fit(rows, truth).save(folder / "loans.automl")
    automl("registry", "add", NAME, folder / "loans.automl", "--alias", "champion")

    # The same as `automl serve models:/loans@champion --ledger rows.sqlite` with AUTOML_MONITORS=drift, in this process.
    plugins, pager = Plugins(load_settings(monitors=("drift",))), Pager()
    plugins.listen(pager, "pager")
    options = ServiceOptions(ledger=str(folder / "rows.sqlite"), reload_seconds=0.5)
    service = PredictionService(plugins, options=options)
    service.add(f"models:/{NAME}@champion", name=NAME)
    with service:
        before = service.find(NAME).version
        print(f"accuracy before: {traffic(service, 20):.2f}")
        print(f"accuracy after the change: {traffic(service, 60, changed=True):.2f}")
        wait_for(pager.degraded.is_set, "the alert")

        # With AUTOML_LISTENERS=retrain the alert itself would start this.
        words = ("--ledger", folder / "rows.sqlite", "--time-limit", 2 * seconds, "--because", "degradation")
        automl("retrain", NAME, *words)
        wait_for(lambda: service.find(NAME).version != before, "the new champion")
        print(f"accuracy of the new champion: {traffic(service, 20, changed=True):.2f}")
    automl("retrain", NAME, "--history")


def automl(*words: object) -> None:
    """Run a command as in a shell."""
    print("$ automl", *words, flush=True)
    subprocess.run([sys.executable, "-m", "automl", *map(str, words)], check=True)


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
