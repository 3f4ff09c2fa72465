"""What tests of the server share."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import uvicorn

from automl import AutoML
from automl_core.settings import load_settings

__all__ = ["fit_buyers", "make_buyers", "serving"]


def make_buyers() -> pa.Table:
    """A table of 400 rows: numbers, a category that matters, and who bought."""
    rng = np.random.default_rng(0)
    age, city = rng.integers(18, 90, 400), rng.choice(["Bern", "Köln", "Oslo"], 400)
    income = rng.normal(50, 10, 400).round(2)
    bought = np.where(age / 50 + (city == "Oslo") + rng.normal(0, 0.3, 400) > 1.3, "yes", "no")
    return pa.table({"age": age, "income": income, "city": city, "bought": bought})


def fit_buyers(table: pa.Table | None = None, target: str = "bought") -> Any:
    """Return a model of who buys, quickly."""
    engine = AutoML(max_trials=1, time_limit=60, n_jobs=1, settings=load_settings(learners="lightgbm"))
    return engine.fit(make_buyers() if table is None else table, target=target).model_


@contextmanager
def serving(app: Any) -> Iterator[httpx.Client]:
    """Run an ASGI application on a free port, its lifespan included, and give a client of it."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=30) as client:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield client
    finally:
        server.should_exit = True
        thread.join(20)
    assert not thread.is_alive()
