from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits, make_moons
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_info, threadpool_limits

from automl_core import Column, Data, DataError, Model
from automl_core.networks import read_inputs
from automl_core.testing.flat import evaluate
from automl_sklearn import perceptron
from automl_sklearn.linear import Linear
from automl_sklearn.perceptron import Perceptron
from automl_sklearn.rows import blas_threads

from .tables import job, mixed, numbers


def log_loss(model: Model, data: Data) -> float:
    """On the rows that `job` watches."""
    rows = np.arange(int(0.7 * len(data.target)), len(data.target))
    said = model.predict(data.values[rows])
    return float(-np.log(said[np.arange(len(rows)), data.target[rows].astype(int)]).mean())


def test_bent_boundary_is_learned() -> None:
    data = numbers(*make_moons(2000, noise=0.2, random_state=0))
    order = job(data, "binary", classes=2)
    assert log_loss(Perceptron().fit(order), data) < 0.6 * log_loss(Linear().fit(order), data)


def test_digits_are_read_as_well_as_by_bare_scikit_learn() -> None:
    values, target = load_digits(return_X_y=True)
    data = numbers(values, target)
    rows = int(0.7 * len(target))
    bare = MLPClassifier((128, 128), random_state=0, max_iter=40, early_stopping=True).fit(
        values[:rows] / 16, target[:rows]
    )
    reference = -np.log(bare.predict_proba(values[rows:] / 16)[np.arange(len(target) - rows), target[rows:]]).mean()
    assert log_loss(Perceptron().fit(job(data, "multiclass", classes=10)), data) < 1.05 * reference


def test_category_and_missing_values_reach_the_network() -> None:
    data = mixed(2000)
    model = Perceptron().fit(job(data, "regression"))
    rows = np.arange(1400, 2000)
    error = model.predict(data.values[rows]) - data.target[rows]
    assert np.var(error) < 0.35 * np.var(data.target[rows])


def test_exported_network_predicts_the_same() -> None:
    data = mixed(300)
    model = Perceptron().fit(job(data, "regression"))
    values = data.values.copy()
    values[0] = [3e38, -3e38, np.nan, np.nan]
    assert np.allclose(evaluate(model.export(), values), model.predict(values), rtol=1e-4, atol=1e-4)


def test_prediction_stays_within_the_target() -> None:
    data = mixed(300)
    model = Perceptron().fit(job(data, "regression"))
    far = np.full((1, 4), 1e30, dtype=np.float32)
    far[:, 2:] = 0
    bound = np.abs(data.target[:210] - data.target[:210].mean()).max()
    assert abs(model.predict(far)[0] - data.target[:210].mean()) <= bound * (1 + 1e-9)


def test_indicators_are_of_frequent_levels_and_of_missing_ones() -> None:
    codes = np.array([0.0] * 9 + [1.0] * 5 + [2.0] + [np.nan] * 4, dtype=np.float32)[:, None]
    data = Data(codes, (Column("c", 4),), np.arange(19.0))
    network = Perceptron().fit(job(data, "regression", share=1.0)).export()
    said = read_inputs(network, np.array([[0], [1], [2], [3], [np.nan]], dtype=np.float32))
    assert said.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


def test_weights_of_rows_count() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(600, 2)).astype(np.float32)
    target = np.where(np.arange(600) % 2, values[:, 0], -values[:, 0]).astype(np.float64)
    weight = np.where(np.arange(600) % 2, 1.0, 1e-3)
    data = Data(values, (Column("a"), Column("b")), target, weight)
    said = Perceptron().fit(job(data, "regression")).predict(values)
    assert np.corrcoef(said, values[:, 0])[0, 1] > 0.95


def test_clock_ends_the_fit_after_one_stride(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptron, "STRIDE", 100)
    calls: list[int] = []
    monkeypatch.setattr(
        perceptron.MLPRegressor, "partial_fit",
        lambda self, x, y, **options: (calls.append(len(x)), partial_fit(self, x, y, **options))[1],
    )  # fmt: skip
    data = mixed(600)
    model = Perceptron().fit(job(data, "regression", seconds=0.0))
    assert len(calls) == 4  # one for each third that is left out, and one for all
    assert max(calls) <= 100
    assert np.isfinite(model.predict(data.values)).all()


partial_fit = perceptron.MLPRegressor.partial_fit


def test_interruption_is_not_made_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(perceptron.MLPRegressor, "_backprop", interrupt)
    with pytest.raises(KeyboardInterrupt), pytest.warns(UserWarning, match="interrupted"):
        Perceptron().fit(job(mixed(300), "regression"))


def test_rows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptron, "MAX_ROWS", 100)
    seen: list[int] = []
    monkeypatch.setattr(
        perceptron.MLPRegressor, "partial_fit",
        lambda self, x, y, **options: (seen.append(len(x)), partial_fit(self, x, y, **options))[1],
    )  # fmt: skip
    Perceptron().fit(job(mixed(600), "regression", seconds=0.0))
    assert max(seen) == seen[-1] == 100


def test_monotone_columns_are_refused_and_not_proposed() -> None:
    data = numbers(np.zeros((10, 1)), np.arange(10.0))
    asked = Data(data.values, (Column("x0", monotone=1),), data.target)
    assert Perceptron().portfolio("regression", 10, asked.columns) == ()
    with pytest.raises(DataError, match="monotone"):
        Perceptron().fit(job(asked, "regression"))


def test_fit_on_noise_is_stopped_by_other_rows() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(400, 20))
    data = numbers(values, rng.permutation(np.arange(400) % 2))
    model = Perceptron().fit(job(data, "binary", classes=2, share=1.0, valid=None))
    assert np.ptp(model.predict(data.values)[:, 1]) < 0.9  # noise that all epochs would learn by heart


def test_overlapping_fits_keep_to_one_thread() -> None:
    def threads() -> set[int]:
        return {item["num_threads"] for item in threadpool_info() if item["user_api"] == "blas"}

    with threadpool_limits(limits=2, user_api="blas"):
        first, second = blas_threads(1), blas_threads(1)
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert threads() == {1}
        second.__exit__(None, None, None)
        assert threads() == {2}


def test_it_goes_before_slow_boosters_of_many_classes_only() -> None:
    columns = (Column("a"),)
    ranks = [
        Perceptron().portfolio(task, rows, columns)[0].rank
        for task, rows in (("multiclass", 5000), ("multiclass", 500), ("binary", 5000), ("binary", 500))
    ]
    assert ranks == [1.5, 4, 4, 10]
    assert Perceptron().portfolio("multiclass", 50_000, columns)[0].rank > 10
