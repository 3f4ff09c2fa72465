"""Serve a model with workers and a shared cache, and ask it: `python examples/serve_with_cache.py [seconds to fit]`.

Redis on localhost:6379 is used where it is there; without it nothing but the cache is missing.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.request

from sklearn.datasets import load_breast_cancer

from automl import AutoML
from automl.caching.redis_cache import PredictionCache, RedisCache
from automl.serving.api import create_app, run_server
from automl.utils.serialization import load_model


def ask(port: int, row: dict[str, float]) -> None:
    """Wait for the server, print two answers of it, and end it as an operator would."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/predict_proba", json.dumps(row).encode(), {"content-type": "application/json"}
    )
    try:
        for _ in range(2):
            for attempt in range(600):
                try:
                    with urllib.request.urlopen(request) as answer:
                        print(answer.read().decode())
                    break
                except OSError:
                    if attempt == 599:
                        raise
                    time.sleep(0.05)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    data, target = load_breast_cancer(return_X_y=True, as_frame=True)
    AutoML(time_limit=float(sys.argv[1]) if len(sys.argv) > 1 else 30).fit(data, target).save("production_model.automl")
    model = load_model("production_model.automl")

    pred_cache = PredictionCache(RedisCache(host="localhost", port=6379, default_ttl=300))
    app = create_app(model=model, model_id="v1.2.3", cache=pred_cache)  # for any ASGI server
    print("an ASGI application:", callable(app))

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    threading.Thread(target=ask, args=(port, data.iloc[0].to_dict()), daemon=True).start()
    run_server(model=model, model_id="v1.2.3", cache=pred_cache, host="127.0.0.1", port=port, workers=2)


if __name__ == "__main__":
    main()
