"""The production guide's example of monitoring."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from automl_core import PluginError


def test_the_guides_example_runs() -> None:
    pytest.importorskip("automl_drift")
    pytest.importorskip("automl_prometheus")
    from automl.monitoring.metrics import DriftDetector, MetricsCollector, PerformanceMonitor

    random = np.random.default_rng(0)
    metrics = MetricsCollector()
    metrics.record_request(model_id="v1.2.3", latency=0.015, status="success", num_predictions=32)
    detector = DriftDetector(window_size=10000)
    detector.set_reference_distribution(random.normal(size=2000))
    retrained = False
    for prediction in random.normal(1.0, 1.0, size=1000):
        detector.add_prediction(prediction)
        if detector.detect_prediction_drift()[0]:
            retrained = True
            break
    monitor = PerformanceMonitor()
    monitor.set_baseline(0.92)
    degraded, _ = monitor.check_degradation()
    assert retrained
    assert not degraded
    assert 'automl_requests_total{model="v1.2.3"} 1.0' in metrics.export_metrics()


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [("DriftDetector", "automl_drift", "drift"), ("MetricsCollector", "automl_prometheus", "prometheus")],
)
def test_a_missing_plugin_is_named(name: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import automl.monitoring.metrics as guide

    for module in [m for m in sys.modules if m.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(PluginError, match=rf"automl-sdk\[{extra}\]"):
        getattr(guide, name)
