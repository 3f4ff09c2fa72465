from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.linear_model import LogisticRegression, Ridge

from automl_core import Column, Data, DataError
from automl_sklearn.design import Inputs, fit_design
from automl_sklearn.linear import Linear
from automl_sklearn.penalty import Coefficients, Sample, cross_validate, loss_of, walk
from automl_sklearn.rows import Clock

from .tables import job, mixed, numbers


def standardised(load: object) -> tuple[np.ndarray, np.ndarray]:
    values, target = load(return_X_y=True)  # type: ignore[operator]
    return ((values - values.mean(axis=0)) / values.std(axis=0)).astype(np.float32), target


def sample_of(values: np.ndarray, target: np.ndarray) -> tuple[Sample, Coefficients]:
    rows = len(values)
    nothing = sparse.csr_array((rows, 0), dtype=np.float32)
    start = Coefficients(np.zeros((values.shape[1], target.shape[1])), np.zeros(target.shape[1]))
    return Sample(Inputs(values, nothing), target, np.full(rows, 1 / rows)), start


def test_logistic_fit_is_that_of_scikit_learn() -> None:
    values, target = standardised(load_breast_cancer)
    sample, start = sample_of(values, target[:, None].astype(float))
    found = walk(sample, loss_of("binary"), start, Clock(None), penalties=(0.1, 0.01)).best
    reference = LogisticRegression(C=1 / (0.01 * len(target)), tol=1e-8, max_iter=1000).fit(values, target)
    assert np.allclose(found.weights[:, 0], reference.coef_[0], atol=2e-3)


def test_softmax_fit_is_that_of_scikit_learn() -> None:
    values, target = standardised(load_wine)
    sample, start = sample_of(values, np.equal.outer(target, np.arange(3)).astype(float))
    found = walk(sample, loss_of("multiclass"), start, Clock(None), penalties=(0.1, 0.01)).best
    reference = LogisticRegression(C=1 / (0.01 * len(target)), tol=1e-8, max_iter=1000).fit(values, target)
    assert np.allclose(found.weights.T, reference.coef_, atol=2e-3)


def test_squared_fit_is_ridge() -> None:
    values, target = standardised(load_diabetes)
    target = (target - target.mean()) / target.std()
    sample, start = sample_of(values, target[:, None])
    found = walk(sample, loss_of("regression"), start, Clock(None), penalties=(0.1, 0.01)).best
    reference = Ridge(alpha=0.01 * len(target)).fit(values, target)
    assert np.allclose(found.weights[:, 0], reference.coef_, atol=2e-3)


def test_noise_gets_the_strongest_penalty_and_signal_a_weak_one() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(400, 30)).astype(np.float32)
    order = rng.permutation(400)
    penalties = {}
    for name, target in (("noise", rng.normal(size=400)), ("signal", values[:, 0] + 0.01 * rng.normal(size=400))):
        sample, start = sample_of(values, target[:, None])
        penalties[name] = cross_validate(sample, loss_of("regression"), start, Clock(None), order, folds=4)
    assert penalties["noise"] >= 0.1
    assert penalties["signal"] <= 1e-3


def test_outliers_do_not_stretch_the_scale() -> None:
    values = np.random.default_rng(0).normal(size=(1000, 1)).astype(np.float32)
    plain = fit_design(values, (Column("x"),), levels=10, min_count=1, tails=0.005)
    values[:3] = 1e30
    with_outliers = fit_design(values, (Column("x"),), levels=10, min_count=1, tails=0.005)
    assert with_outliers.scale[0] == pytest.approx(plain.scale[0], rel=0.1)


def test_rare_codes_share_an_indicator_and_frequent_ones_do_not() -> None:
    codes = np.repeat(np.arange(6), [50, 40, 30, 2, 1, 0]).astype(np.float32)[:, None]
    design = fit_design(codes, (Column("x", 6),), levels=2, min_count=1, tails=0.005)
    assert design.slots.tolist() == [0, 1, 2, 2, 2, 2, -1]


def test_category_missing_in_training_only_elsewhere_adds_nothing() -> None:
    codes = np.repeat([0.0, 1.0], 100).astype(np.float32)[:, None]
    data = Data(codes, (Column("x", 2),), codes[:, 0].astype(np.float64) * 10)
    model = Linear().fit(job(data, "regression", share=1.0, valid=None))
    assert model.predict(np.array([[np.nan]], dtype=np.float32))[0] == pytest.approx(model.export().base[0])


def test_wide_and_short_tables_fit() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(80, 1500))
    data = numbers(values, (values[:, 0] > 0).astype(float))
    model = Linear().fit(job(data, "binary", classes=2, valid=None))
    assert np.isfinite(model.predict(data.values)).all()


def test_time_stops_the_path_and_leaves_a_model() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(20_000, 60))
    target = rng.integers(0, 20, 20_000)
    clocked = job(numbers(values, target), "multiclass", classes=20, seconds=0.0)
    model = Linear().fit(clocked)
    assert model.predict(clocked.data.values[:5]).shape == (5, 20)


def test_monotone_column_is_refused_by_name() -> None:
    data = mixed()
    asked = Data(data.values, (Column("a", monotone=1), *data.columns[1:]), data.target)
    assert Linear().portfolio("regression", 600, asked.columns) == ()
    with pytest.raises(DataError, match="'a'"):
        Linear().fit(job(asked, "regression"))


def test_categories_of_many_levels_ask_for_target_encodings() -> None:
    assert Linear().portfolio("binary", 1000, [Column("x", 51)])[0].view == "encoded"
    assert Linear().portfolio("binary", 1000, [Column("x", 50)])[0].view == "base"
