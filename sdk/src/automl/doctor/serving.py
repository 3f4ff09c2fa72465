"""The model loads and predicts; the server that runs is ready, and says so in time."""

from __future__ import annotations

import json
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter, time
from typing import Any
from urllib.parse import urlsplit

from automl.doctor.asked import Asked
from automl.doctor.exposition import total
from automl.doctor.web import TIMEOUT, ask
from automl_core.diagnosis import ABSENT, FAILED, OK, WARNING, Finding
from automl_core.errors import AutoMLError, PluginError

__all__ = ["check_model", "check_server"]

SLOW = 0.1  # seconds; the objective of deploy/prometheus/rules.yml
SOON = 14 * 86400  # seconds before a certificate ends


def check_model(asked: Asked) -> Iterator[Finding]:
    """Load the model as the server would, and predict its typical row."""
    if not asked.serves:
        return
    if not asked.model:
        yield Finding("model", ABSENT, "no model is named", "automl doctor MODEL, or AUTOML_MODEL_URI.")
        return
    from automl.service.card import example_row
    from automl.service.service import PredictionService

    started = perf_counter()
    try:
        service = PredictionService(asked.plugins)
        served = service.add(asked.model)
        loaded = perf_counter()
        row = example_row(served.model)
        said = served.model.predict([row])
    except (AutoMLError, OSError, KeyError) as error:
        yield Finding("model", FAILED, str(error), "Check AUTOML_MODEL_URI, or roll back to the version before.")
        return
    took = perf_counter() - loaded
    told = (
        f"version {served.version} loads in {1e3 * (loaded - started):.0f} ms, predicts {said[0]!s} for its typical row"
    )
    state, remedy = (
        (OK, "") if took < SLOW else (WARNING, "Leave slow families out of `learners`, or name a cache: REDIS_HOST.")
    )
    yield Finding("model", state, f"{told} in {1e3 * took:.1f} ms", remedy)


def check_server(asked: Asked) -> Iterator[Finding]:
    """Ask the server that runs for readiness, models and metrics."""
    if not asked.serves:
        return
    if not asked.url:
        yield Finding(
            "server", ABSENT, "no address is given", "automl doctor --url https://HOST, the balancer's if there is one."
        )
        return
    base, headers = asked.url.rstrip("/"), _key(asked)
    started = perf_counter()
    try:
        ready = ask(f"{base}/health/ready")
        wrong = "" if ready.status == 200 else f"{base} is not ready: status {ready.status}"
    except AutoMLError as error:
        wrong = str(error)
    took = 1e3 * (perf_counter() - started)
    if wrong:
        for check in ("server", "models", "metrics of the server"):
            yield Finding(check, FAILED, wrong, "Start it, or see its log; deploy/README.md#the-service-is-down")
        return
    yield Finding("server", OK, f"{base} is ready, and says so in {took:.0f} ms")
    yield _models(base, headers)
    yield _metrics(asked, base, headers)
    if base.startswith("https://"):
        yield _end_of_certificate(base)


def _key(asked: Asked) -> dict[str, str]:
    """Return a header with the server's own key, where these settings have one."""
    try:
        block = asked.server()
    except PluginError:
        return {}
    keys = [key.get_secret_value() for key in getattr(block, "api_keys", ())]
    if not keys and (file := getattr(block, "api_keys_file", "")) and os.access(file, os.R_OK):
        keys = [line.strip() for line in Path(file).read_text(encoding="utf-8").splitlines() if line.strip()]
    return {"X-API-Key": keys[0]} if keys else {}


def _models(base: str, headers: dict[str, str]) -> Finding:
    answer = ask(f"{base}/models", headers=headers)
    if answer.status != 200:
        return Finding("models", FAILED, f"/models answers with status {answer.status}", "Show a key: see API keys.")
    listed = ", ".join(f"{item['name']}@{item['version']}" for item in json.loads(answer.body))
    return Finding("models", OK, f"in service: {listed}")


def _metrics(asked: Asked, base: str, headers: dict[str, str]) -> Finding:
    answer = ask(f"{base}/metrics", headers=headers)
    if answer.status != 200:
        said = f"/metrics answers with status {answer.status}"
        return Finding(
            "metrics of the server", FAILED, said, "Let Prometheus show a key: see deploy/README.md#security"
        )
    text = answer.body.decode("utf-8", "replace")
    wanted = {"prometheus": "automl_requests_total", "drift": "automl_drift_"}
    if total(text, "automl_predictions_total") == 0:
        del wanted["drift"]  # there is nothing to compare yet
    missing = [name for name, start in wanted.items() if name in asked.settings.monitors and start not in text]
    if missing:
        said = f"the monitors {', '.join(missing)} export nothing"
        return Finding("metrics of the server", FAILED, said, "Start the server with these settings: AUTOML_MONITORS.")
    return Finding("metrics of the server", OK, f"{sum(not line.startswith('#') for line in text.splitlines())} series")


def _end_of_certificate(base: str) -> Finding:
    address = urlsplit(base)
    host, port = address.hostname or "", address.port or 443
    try:
        with (
            socket.create_connection((host, port), TIMEOUT) as plain,
            ssl.create_default_context().wrap_socket(plain, server_hostname=host) as secured,
        ):
            shown: Any = secured.getpeercert()
    except OSError as error:
        return Finding("certificate", FAILED, f"{host}:{port}: {error}", "Renew it; deploy/README.md#security")
    left = ssl.cert_time_to_seconds(shown["notAfter"]) - time()
    state, remedy = (OK, "") if left > SOON else (WARNING, "Renew it; deploy/README.md#security")
    return Finding("certificate", state, f"valid for {left / 86400:.0f} days more", remedy)
