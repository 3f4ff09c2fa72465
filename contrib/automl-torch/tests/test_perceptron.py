from __future__ import annotations

import io
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from automl_core import Column, Data, DataError, Job
from automl_core.testing.flat import evaluate

if TYPE_CHECKING:
    from automl_torch.inputs import Inputs
    from automl_torch.perceptron import Batch

torch = pytest.importorskip("torch")
pytest.importorskip("automl_torch")
from automl_torch import perceptron  # noqa: E402 - only where torch is
from automl_torch.inputs import LEVELS, fit_inputs  # noqa: E402
from automl_torch.learner import Perceptron  # noqa: E402
from automl_torch.training import limit_threads  # noqa: E402

QUICK = {"epochs": 20, "width": 128}


def table(rows: int = 400, *, levels: int = 40, classes: int = 0, seed: int = 0) -> Data:
    """Two numbers, one of them with missing values, a category of 4 levels and one of `levels`."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, 4)).astype(np.float32)
    values[:, 2] = rng.integers(0, 4, rows)
    values[:, 3] = np.minimum(rng.geometric(4 / levels, rows) - 1, levels - 1)
    target = values[:, 0] + (values[:, 2] == 1) + 0.3 * (values[:, 3] % 3)
    values[rng.random(rows) < 0.2, 1] = np.nan
    values[rng.random(rows) < 0.1, 2] = np.nan
    if classes:
        target = np.digitize(target, np.quantile(target, np.arange(1, classes) / classes))
    columns = (Column("a"), Column("b"), Column("c", 4), Column("d", levels))
    return Data(values, columns, target.astype(np.float64))


def job(data: Data, task: str = "regression", classes: int = 0, **options: object) -> Job:
    rows = len(data.target)
    given = {"valid": np.arange(rows * 3 // 4, rows), "params": QUICK, **options}
    return Job(data, np.arange(rows * 3 // 4), task=task, classes=classes, **given)  # type: ignore[arg-type]


def read(inputs: Inputs, values: np.ndarray) -> Batch:
    encoded = inputs.apply(values)
    return perceptron.Batch(*map(torch.from_numpy, (encoded.numbers, encoded.flags, encoded.codes)))


@pytest.mark.parametrize("sigma", [0.0, 1.0])
@pytest.mark.parametrize("activation", ["selu", "mish"])
@pytest.mark.parametrize(("link", "outputs"), [("identity", 1), ("sigmoid", 2), ("softmax", 5)])
def test_folded_network_is_the_trained_one(sigma: float, activation: str, link: str, outputs: int) -> None:
    data = table(levels=3000)
    inputs = fit_inputs(data.values, data.columns)
    generator = torch.Generator().manual_seed(0)
    network = perceptron.Perceptron(inputs, perceptron.Shape([16, 16], outputs, activation, sigma), generator)
    for tensors, _, _ in network.groups():  # as if trained: nothing stays at its start
        for tensor in tensors:
            tensor += 0.3 * torch.randn(tensor.shape, generator=generator)
    raw = network.forward(read(inputs, data.values)).double().numpy()
    shares = np.exp(raw - raw.max(axis=1, keepdims=True))
    want = raw[:, 0] if link == "identity" else shares / shares.sum(axis=1, keepdims=True)
    assert np.allclose(evaluate(network.fold(4, link=link), data.values), want, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(("task", "classes"), [("regression", 0), ("binary", 2), ("multiclass", 4)])
def test_export_is_exact_on_missing_rare_and_extreme_values(task: str, classes: int) -> None:
    data = table(classes=classes, levels=300)
    model = Perceptron().fit(job(data, task, classes))
    asked = data.values.copy()
    asked[:, 3] = np.arange(len(asked)) % 300  # most of them unseen in training
    asked[np.random.default_rng(1).random(asked.shape) < 0.2] = np.nan
    asked[:4, 0] = [3e38, -3e38, 1e-40, 0]
    assert np.allclose(evaluate(model.export(), asked), model.predict(asked), rtol=1e-12, atol=1e-12)


def test_rarest_levels_share_a_row() -> None:
    codes = np.arange(LEVELS + 500, dtype=np.float32)[:, None]
    category = fit_inputs(codes, (Column("x", LEVELS + 500),)).categories[0]
    assert category.count == LEVELS + 1
    assert (category.rows[LEVELS:] == 0).all()


def test_few_levels_are_one_hot_and_stay_so() -> None:
    network = Perceptron().fit(job(table())).export()
    rows = network.table[network.start[0] : network.start[1]].reshape(5, -1)  # four codes, missing
    assert np.array_equal(rows, np.eye(5, dtype=np.float32))


def test_regression_never_leaves_the_range_of_its_target() -> None:
    data = table()
    model = Perceptron().fit(job(data))
    far = np.full((2, 4), np.nan, dtype=np.float32)
    far[:, 0] = [3e38, -3e38]
    mean = data.target[:300].mean()
    reach = np.abs(data.target[:300] - mean).max()
    assert (np.abs(model.predict(far) - mean) <= reach * 1.000001).all()


def test_products_are_learned_which_no_linear_model_sees() -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(-2, 2, size=(1500, 2)).astype(np.float32)
    data = Data(values, (Column("a"), Column("b")), (values[:, 0] * values[:, 1] > 0).astype(np.float64))
    predicted = Perceptron().fit(job(data, "binary", 2)).predict(values[1125:]).argmax(axis=1)
    assert (predicted == data.target[1125:]).mean() > 0.93


def test_quantile_is_estimated() -> None:
    rng = np.random.default_rng(0)
    data = Data(rng.normal(size=(2000, 1)).astype(np.float32), (Column("x"),), rng.normal(size=2000))
    model = Perceptron().fit(job(data, objective="quantile:0.9"))
    assert (data.target < model.predict(data.values)).mean() == pytest.approx(0.9, abs=0.05)


def test_time_ends_a_fit_that_would_take_much_longer() -> None:
    data = table(20_000)
    Perceptron().fit(job(table(100)))  # imports are not what is measured
    started = time.perf_counter()
    model = Perceptron().fit(job(data, params={"epochs": 500}, seconds=1.0))
    assert time.perf_counter() - started < 30
    assert np.isfinite(model.predict(data.values)).all()


def test_short_time_still_ends_the_schedule() -> None:
    data = table(4000)
    model = Perceptron().fit(job(data, params={"epochs": 512}, seconds=3.0, valid=None))
    residual = data.target - model.predict(data.values)
    assert (residual**2).mean() < 0.3 * data.target.var()


def test_fit_leaves_the_global_generator_and_thread_count_alone() -> None:
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    Perceptron().fit(job(table(100), threads=threads + 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_thread_count_comes_back_when_the_last_of_overlapping_fits_ends() -> None:
    before = torch.get_num_threads()
    with limit_threads(before + 1):
        with limit_threads(before + 2):
            assert torch.get_num_threads() == before + 2
        assert torch.get_num_threads() == before + 2
    assert torch.get_num_threads() == before


def test_stored_model_loads_and_predicts_without_torch() -> None:
    stored = Perceptron().dump(Perceptron().fit(job(table())))
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np\n"
        "from automl_torch.learner import Perceptron\n"
        "model = Perceptron().load(sys.stdin.buffer.read())\n"
        "print(model.predict(np.full((1, 4), np.nan, dtype=np.float32))[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], input=stored, capture_output=True, check=True)
    want = Perceptron().load(stored).predict(np.full((1, 4), np.nan, dtype=np.float32))[0]
    assert float(done.stdout) == pytest.approx(want)


def test_altered_arrays_are_a_value_error() -> None:
    stored = Perceptron().dump(Perceptron().fit(job(table())))
    with np.load(io.BytesIO(stored)) as archive:
        arrays = dict(archive)
    arrays["weight1"] = arrays["weight1"][:-1]
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    with pytest.raises(ValueError, match=r"mismatch|size"):
        Perceptron().load(buffer.getvalue())


def test_model_of_another_learner_is_refused() -> None:
    with pytest.raises(TypeError, match="str"):
        Perceptron().dump("model")  # type: ignore[arg-type]


def test_monotone_column_is_refused_by_name() -> None:
    data = table()
    asked = Data(data.values, (Column("a", monotone=1), *data.columns[1:]), data.target)
    assert Perceptron().portfolio("regression", 400, asked.columns) == ()
    with pytest.raises(DataError, match="'a'"):
        Perceptron().fit(job(asked))
