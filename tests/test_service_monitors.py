"""A prediction service whose traffic drifts, with both monitors of the settings."""

from __future__ import annotations

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
