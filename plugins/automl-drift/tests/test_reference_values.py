"""Numbers that scipy and the monitoring libraries give for the same arrays, to six digits and more."""

from __future__ import annotations

import numpy as np
import pytest

from automl_core import DataError
from automl_drift.distances import chi_square, jensen_shannon, ks, psi, quantile_bins, total_variation, wasserstein
from automl_drift.estimates import CBPE_METRICS, ConfidenceBased, DirectLoss

REFERENCE = np.random.default_rng(0).normal(0, 1, 2000)
CURRENT = np.random.default_rng(1).normal(0.3, 1.2, 2000)
LEVELS = ([500, 300, 200, 0], [400, 300, 250, 50])


def histograms(rule: str, over: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    edges = np.histogram_bin_edges(over, rule)
    return np.histogram(REFERENCE, edges)[0], np.histogram(CURRENT, edges)[0]


def test_kolmogorov_smirnov() -> None:
    statistic, p = ks(REFERENCE, CURRENT)
    assert statistic == pytest.approx(0.1375, rel=1e-9)
    assert p == pytest.approx(6.780675472e-17, rel=1e-6)


def test_wasserstein() -> None:
    assert wasserstein(REFERENCE, CURRENT) == pytest.approx(0.3196964553, rel=1e-9)
    assert wasserstein(REFERENCE, CURRENT) / REFERENCE.std() == pytest.approx(0.3196333328, rel=1e-9)


@pytest.mark.parametrize(
    ("bins", "index", "base2", "natural"),
    [(10, 0.1160592758, 0.1435951280, 0.1195507859), (20, 0.1385412224, 0.1560404533, 0.1299121989)],
)
def test_psi_and_jensen_shannon_on_quantile_bins(bins: int, index: float, base2: float, natural: float) -> None:
    counts = quantile_bins(REFERENCE, CURRENT, bins)
    assert psi(*counts) == pytest.approx(index, rel=1e-6)
    assert jensen_shannon(*counts) == pytest.approx(base2, rel=1e-6)
    assert jensen_shannon(*counts, base=np.e) == pytest.approx(natural, rel=1e-6)


def test_jensen_shannon_with_evidentlys_bins() -> None:
    counts = histograms("sturges", np.concatenate([REFERENCE, CURRENT]))
    assert jensen_shannon(*counts, base=np.e) == pytest.approx(0.1311141809, rel=1e-6)


def test_one_outlier_moves_nothing() -> None:
    spoilt = np.append(1e6, CURRENT[1:])
    assert psi(*quantile_bins(REFERENCE, spoilt)) == pytest.approx(0.1167964409, rel=1e-6)
    assert jensen_shannon(*quantile_bins(REFERENCE, spoilt)) == pytest.approx(0.1440426493, rel=1e-6)


def test_categories() -> None:
    statistic, p, freedom = chi_square(*LEVELS)
    assert (statistic, freedom) == (pytest.approx(66.6666667, rel=1e-6), 3)
    assert p == pytest.approx(2.2069e-14, rel=1e-4)
    assert jensen_shannon(*LEVELS) == pytest.approx(0.1761353446, rel=1e-6)
    assert jensen_shannon(*LEVELS, base=np.e) == pytest.approx(0.1466422933, rel=1e-6)
    assert psi(*LEVELS) == pytest.approx(0.3435804768, rel=1e-6)
    assert total_variation(*LEVELS) == pytest.approx(0.1)


def test_counts_on_other_bins_are_refused() -> None:
    with pytest.raises(DataError, match="same bins"):
        psi([1, 2], [1, 2, 3])


@pytest.mark.parametrize(
    ("metric", "expected"), [("roc_auc", 0.7564235344), ("f1", 0.6887800086), ("accuracy", 0.6866994961)]
)
def test_cbpe_without_calibration(metric: str, expected: float) -> None:
    p = np.random.default_rng(1).beta(2, 2, 10_000)
    assert CBPE_METRICS[metric](p, p) == pytest.approx(expected, rel=1e-6)


def test_cbpe_auc_of_four_rows() -> None:
    p = np.array([0.1, 0.4, 0.35, 0.8])
    assert CBPE_METRICS["roc_auc"](p, p) == pytest.approx(0.7772404900, rel=1e-9)


def test_cbpe_finds_the_realised_score_under_covariate_shift() -> None:
    random = np.random.default_rng(0)
    p = random.beta(0.8, 0.8, 10_000)
    model = ConfidenceBased(p, random.random(10_000) < p, metric="roc_auc")
    estimate = model.estimate(np.random.default_rng(1).beta(2, 2, 10_000)[:5000])
    assert estimate.value == pytest.approx(0.756525, abs=2 * 0.003690)
    assert estimate.low < 0.748171 + 0.003690
    assert estimate.trusted


def test_cbpe_calibrates_a_confident_model() -> None:
    random = np.random.default_rng(3)
    p = random.random(6000)
    y = random.random(6000) < p
    stretched = np.clip(0.5 + 1.6 * (p - 0.5), 0, 1)
    model = ConfidenceBased(stretched[:4000], y[:4000], metric="brier")
    realised = ((stretched[4000:] - y[4000:]) ** 2).mean()
    estimate = model.estimate(stretched[4000:])
    assert model.calibrated
    assert estimate.low <= realised <= estimate.high


def test_cbpe_is_not_trusted_beyond_the_reference() -> None:
    random = np.random.default_rng(4)
    p = random.uniform(0.3, 0.7, 1000)
    model = ConfidenceBased(p, random.random(1000) < p)
    assert "outside" in model.estimate(np.full(100, 0.95)).reason


@pytest.mark.parametrize(("metric", "expected"), [("mae", 1.1170), ("rmse", 1.4189)])
def test_direct_loss_finds_the_expected_error(metric: str, expected: float) -> None:
    random = np.random.default_rng(10)
    x = random.uniform(0, 2, 10_000)
    y = 2 * x + random.normal(size=10_000) * (0.2 + 0.8 * x)
    current = np.random.default_rng(11).uniform(1, 2, 5000)
    model = DirectLoss(np.column_stack([x, 2 * x]), 2 * x, y, metric=metric)
    estimate = model.estimate(np.column_stack([current, 2 * current]))
    assert estimate.value == pytest.approx(expected, rel=0.03)
    assert estimate.low < estimate.value < estimate.high
    assert estimate.trusted


def test_direct_loss_is_not_trusted_on_rows_unlike_the_reference() -> None:
    random = np.random.default_rng(12)
    x = random.normal(size=(2000, 2))
    model = DirectLoss(x, x[:, 0], x[:, 0] + random.normal(size=2000))
    assert "unlike" in model.estimate(x + 5).reason
