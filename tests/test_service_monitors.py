"""A prediction service whose traffic drifts, with both monitors of the settings."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("automl_drift")
pytest.importorskip("automl_prometheus")
pytest.importorskip("automl_lightgbm")

from automl import AutoML
from automl.service import PredictionService
from automl.service.options import ServiceOptions
from automl_core import Plugins, Settings


@pytest.fixture(scope="module")
def model():
    random = np.random.default_rng(0)
    frame = {"size": random.normal(size=1500), "colour": random.choice(["red", "blue"], 1500)}
    target = np.where(frame["size"] + (frame["colour"] == "red") > 0.3, "yes", "no")
    fitted = AutoML(time_limit=20, seed=0, settings=Settings(learners=("lightgbm",), executor="serial"))
    return fitted.fit(frame, target)


def test_drift_of_a_service_is_exposed_with_its_feature(model) -> None:
    random = np.random.default_rng(1)
    plugins = Plugins(Settings(monitors=("drift", "prometheus"), plugins={"drift": {"interval": 600.0}}))
    service = PredictionService(plugins=plugins, options=ServiceOptions(sample_rows=10_000))
    service.add(model, name="loans", version="1")
    with service:
        monitors = dict(service.monitors)
        for shift in [0.0] * 10 + [2.0] * 10:
            rows = {
                "size": (random.normal(size=100) + shift).tolist(),
                "colour": random.choice(["red", "blue"], 100).tolist(),
            }
            service.predict(rows, name="loans")
        service.failed("loans", "DataError")  # as a server does for a request that it refuses
    monitors["drift"].flush()
    report = monitors["drift"].reports()["loans", "1"]
    assert report.rows == 2000
    assert report.drifted == ("size",)
    assert 'automl_drift_alarm{model="loans",version="1"} 1' in monitors["drift"].expose()[1].decode()
    metrics = monitors["prometheus"].expose()[1].decode()
    assert 'automl_predictions_total{model="loans"} 2000.0' in metrics
    assert 'automl_requests_total{model="loans"} 21.0' in metrics
    assert 'automl_errors_total{model="loans"} 0.0' in metrics


def test_accuracy_of_a_service_is_estimated_without_labels() -> None:
    random = np.random.default_rng(2)

    def rows(count: int, spread: float) -> tuple[dict[str, list[float]], np.ndarray]:
        x = random.normal(size=(count, 2)) * (spread, 1.0)
        return {"a": x[:, 0].tolist(), "b": x[:, 1].tolist()}, np.where(
            x[:, 0] + random.normal(size=count) > 0, "yes", "no"
        )

    settings = Settings(learners=("lightgbm",), executor="serial", search="random")
    fitted = AutoML(time_limit=60, max_trials=2, seed=0, n_jobs=1, settings=settings).fit(*rows(3000, 2.0))
    plugins = Plugins(Settings(monitors=("drift",), plugins={"drift": {"interval": 600.0}}))
    service = PredictionService(plugins=plugins, options=ServiceOptions(sample_rows=10_000))
    service.add(fitted, name="loans", version="1")
    data, truth = rows(4000, 0.7)  # nearer to where the answer turns
    with service:
        drift = service.monitors["drift"]
        said = service.predict(data, name="loans").labels
    drift.flush()
    told, real = drift.summary()[0], float(np.mean(said == truth))
    held_out = told["performance"]["baseline"]
    print(f"on held-out rows {held_out:.3f}, estimate {told['estimate']}, realised {real:.3f}")
    assert real < held_out - 0.1
    assert told["estimate"]["doubt"] == ""
    assert told["estimate"]["accuracy"] == pytest.approx(real, abs=0.04)


def test_error_of_a_service_is_estimated_without_labels() -> None:
    random = np.random.default_rng(4)

    def rows(count: int, mean: float) -> tuple[dict[str, list[float]], np.ndarray]:
        x = np.column_stack([random.uniform(0, 4, count), random.normal(size=count)])
        x[:, 0] = np.where(random.random(count) < mean, x[:, 0] / 4 + 3, x[:, 0])  # more rows near the upper end
        noise = random.normal(size=count) * (0.2 + x[:, 0] / 2)
        return {"a": x[:, 0].tolist(), "b": x[:, 1].tolist()}, 3 * x[:, 0] + x[:, 1] + noise

    settings = Settings(learners=("lightgbm",), executor="serial", search="random")
    fitted = AutoML(time_limit=60, max_trials=2, seed=0, n_jobs=1, settings=settings).fit(*rows(3000, 0.0))
    plugins = Plugins(Settings(monitors=("drift",), plugins={"drift": {"interval": 600.0}}))
    service = PredictionService(plugins=plugins, options=ServiceOptions(sample_rows=10_000))
    service.add(fitted, name="prices", version="1")
    data, truth = rows(4000, 0.9)  # where the noise is larger
    with service:
        drift = service.monitors["drift"]
        said = service.predict(data, name="prices").labels
    drift.flush()
    told, real = drift.summary()[0], float(np.sqrt(np.mean((said - truth) ** 2)))
    held_out = told["performance"]["baseline"]
    print(f"on held-out rows {held_out:.3f}, estimate {told['estimate']}, realised {real:.3f}")
    assert real > held_out * 1.2
    assert told["estimate"]["doubt"] == ""
    assert told["estimate"]["rmse"] == pytest.approx(real, rel=0.06)
    assert 'automl_performance_estimate{model="prices",version="1",metric="rmse"}' in drift.expose()[1].decode()


def test_predictions_of_a_service_are_watched_from_its_first_answers_on(model) -> None:
    random = np.random.default_rng(3)
    plugins = Plugins(Settings(monitors=("drift",), plugins={"drift": {"interval": 600.0}}))
    service = PredictionService(plugins=plugins, options=ServiceOptions(sample_rows=10_000))
    service.add(model, name="loans", version="1")

    def answer(rows: int, shift: float) -> None:
        size = random.normal(size=rows) + shift
        service.predict({"size": size.tolist(), "colour": random.choice(["red", "blue"], rows).tolist()}, name="loans")

    with service:
        drift = service.monitors["drift"]
        answer(2500, 0.0)
        while not drift.reports() or drift.reports()["loans", "1"].rows < 2500:  # events come every tenth of a second
            drift.flush()
        answer(1000, 0.0)
        answer(1000, 1.0)
    drift.flush()
    assert set(drift.reports()["loans", "1"].drifted) == {"size", "(prediction)"}


def test_retraining_from_cron_shows_in_the_metrics_of_a_server(model, tmp_path: Path) -> None:
    retraining = {"retrain": {"name": "loans"}}
    settings = Settings(monitors=("prometheus",), directory=str(tmp_path), plugins=retraining, trackers=("journal",))
    model.model_.save(tmp_path / "loans.automl")
    plugins = Plugins(settings)
    registry = plugins.build("tracker", "journal")
    registry.alias("loans", "champion", registry.register("loans", tmp_path / "loans.automl"))
    command = [sys.executable, "-m", "automl", "retrain", "loans", "--because", "cron"]
    environment = {**os.environ, "AUTOML_DIRECTORY": str(tmp_path), "AUTOML_TRACKERS": "journal"}
    (tmp_path / "recent.csv").write_text("size,colour,target\n1.0,red,yes\n")

    def cron(place: str) -> int:
        return subprocess.run([*command, *place.split()], env=environment, cwd=tmp_path, capture_output=True).returncode

    assert cron("--ledger none.sqlite") != 0
    service = PredictionService(plugins=plugins, options=ServiceOptions(reload_seconds=0.05))
    service.add(model, name="loans", version="1")
    with service:
        prometheus = service.monitors["prometheus"]

        def shows(*lines: str) -> bool:
            ends = time.monotonic() + 30
            while not all(line in (text := prometheus.expose()[1].decode()) for line in lines):
                assert time.monotonic() < ends, text
                time.sleep(0.05)
            return True

        counted = 'automl_retrain_decisions_total{{model="loans",outcome="{}"}} {}.0'.format
        assert shows(
            counted("failed", 1), counted("refused", 0), 'automl_retrain_in_a_row{model="loans",outcome="failed"} 1'
        )
        assert cron("--recent recent.csv") == 0  # too few rows: refused
        assert shows(counted("failed", 1), counted("refused", 1))
