"""What columns add to the predictions of networks: integrated gradients by their definition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from automl.explain import explain, importance
from automl.predictor import Opaque, Part, Predictor
from automl.predictor.network import NetworkModel
from automl_core import Arithmetic, Network

COLUMNS = 4  # the first three are numbers, the last a category of five codes
TASKS = pytest.mark.parametrize(
    ("link", "outputs", "classes"), [("identity", 1, 0), ("sigmoid", 1, 2), ("softmax", 3, 3)]
)
ACTIVATIONS = pytest.mark.parametrize("activation", ["selu", "mish", "relu"])


def make_network(
    rng: np.random.Generator,
    *,
    hidden: Sequence[int] = (7, 5),
    outputs: int = 1,
    link: str = "identity",
    columns: int = COLUMNS,
    **changes: Any,
) -> Network:
    """Return a network of numbers, two flags, two cosines of each number, and a category in two numbers."""
    numbers = [column for column in range(columns) if column != 3]
    units = [3 * len(numbers) + 2 + 2, *hidden, outputs]
    shape = (len(numbers), 2)
    network = Network(
        columns=columns, source=np.array(numbers, np.int32), center=rng.normal(size=len(numbers)),
        factor=rng.uniform(0.5, 2, len(numbers)), flags=np.array([2, 0], np.int32),
        frequency=rng.normal(size=shape).astype(np.float32), phase=rng.normal(size=shape).astype(np.float32),
        categories=np.array([3], np.int32), start=np.array([1], np.int32), width=np.array([2], np.int32),
        levels=np.array([5], np.int32), table=rng.normal(size=13).astype(np.float32),
        weights=tuple(rng.normal(size=pair).astype(np.float32) for pair in pairwise(units)),
        biases=tuple(rng.normal(size=size).astype(np.float32) for size in units[1:]),
        activation="mish", base=rng.normal(size=outputs), link=link, scale=1.5,
    )  # fmt: skip
    return replace(network, **changes)


def owners(columns: int = COLUMNS) -> np.ndarray:
    """Return the column behind each input of the first layer of `make_network`."""
    numbers = [column for column in range(columns) if column != 3]
    return np.array([*numbers, 2, 0, *np.repeat(numbers, 2), 3, 3])


def as_member(network: Network, weight: float = 1.0, **changes: Any) -> Opaque:
    keep = np.arange(network.columns, dtype=np.int32)
    return replace(Opaque("perceptron", None, NetworkModel(network), keep, (), weight), **changes)


def alone(network: Network, classes: int = 0, columns: int = COLUMNS, **changes: Any) -> Predictor:
    return Predictor([], [as_member(network, **changes)], classes=classes, columns=columns)


def make_values(rng: np.random.Generator, rows: int = 30) -> np.ndarray:
    """Return rows with missing values, and codes that training lacked."""
    values = 2 * rng.normal(size=(rows, COLUMNS))
    values[:, 3] = rng.integers(0, 8, rows)
    values[rng.random(values.shape) < 0.2] = np.nan
    return values.astype(np.float32)


def first_inputs(network: Network, row: np.ndarray) -> np.ndarray:
    """Return what the first layer reads of one row, as the core describes it."""
    scaled = [
        (row[column] - c) * f for column, c, f in zip(network.source, network.center, network.factor, strict=True)
    ]
    numbers = np.array([0.0 if np.isnan(t) else t / np.sqrt(1 + (t / 3) ** 2) for t in scaled])
    flags = np.isnan(row[network.flags]).astype(float)
    code = 5 if np.isnan(row[3]) or row[3] >= 5 else int(row[3])
    cosines = np.cos(network.frequency * numbers[:, None] + network.phase)
    return np.concatenate([numbers, flags, cosines.ravel(), network.table[1 + 2 * code : 3 + 2 * code]])


def raw_scores(network: Network, inputs: np.ndarray) -> np.ndarray:
    act: Callable[[Any], Any] = {
        "relu": lambda x: np.maximum(x, 0),
        "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
        "selu": lambda x: np.where(x > 0, 1.0507009873554805 * x, 1.7580993408473766 * (np.exp(np.minimum(x, 0)) - 1)),
    }[network.activation]
    for number, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        inputs = (act(inputs) if number else inputs) @ weight.astype(float) + bias
    return network.base + network.scale * np.clip(inputs, network.low, network.high)


@TASKS
@ACTIVATIONS
def test_contributions_add_up_to_the_prediction(rng, link, outputs, classes, activation) -> None:
    predictor = alone(make_network(rng, outputs=outputs, link=link, activation=activation, low=-8.0), classes)
    values = make_values(rng)
    said, predicted = explain(predictor, values), predictor.predict(values)
    assert said.shape == (len(values), COLUMNS + 1, max(classes, 1))
    np.testing.assert_allclose(said.sum(axis=1).reshape(predicted.shape), predicted, rtol=1e-9, atol=1e-12)
    lacking = predictor.predict(np.full((1, COLUMNS), np.nan, dtype=np.float32))
    np.testing.assert_allclose(said[:, -1].reshape(predicted.shape), np.repeat(lacking, len(values), axis=0), rtol=1e-9)


@pytest.mark.parametrize(
    ("activation", "bounds"), [("mish", (-9, 9)), ("selu", (-9, 9)), ("relu", (-9, 9)), ("mish", (-1, 1))]
)
def test_contributions_are_integrals_of_slopes(rng, activation, bounds) -> None:
    """By finite differences of the scores, in each input of the first layer, along the line."""
    network = make_network(rng, outputs=2, activation=activation, low=bounds[0], high=bounds[1], link="softmax")
    network, values = replace(network, weights=tuple(weight / 2 for weight in network.weights)), make_values(rng, 6)
    start, steps, small = first_inputs(network, np.full(COLUMNS, np.nan)), 4000, 1e-6
    said = explain_raw(network, values)
    for row, one in zip(values, said, strict=True):
        way = first_inputs(network, row) - start
        points = start + (np.arange(steps)[:, None] + 0.5) / steps * way
        wanted = np.zeros((COLUMNS, 2))
        for unit, column in enumerate(owners()):
            step = small * np.eye(len(way))[unit]
            slope = (raw_scores(network, points + step) - raw_scores(network, points - step)) / (2 * small)
            wanted[column] += way[unit] * slope.mean(axis=0)
        assert np.abs(wanted).max() > 0.1
        np.testing.assert_allclose(one, wanted, atol=0.02 * np.abs(wanted).max())


def explain_raw(network: Network, values: np.ndarray) -> np.ndarray:
    """Return contributions to each raw score, one network of one output after the other."""
    weight, bias = network.weights[-1], network.biases[-1]
    single = [
        replace(
            network, weights=(*network.weights[:-1], weight[:, [k]]), biases=(*network.biases[:-1], bias[[k]]),
            base=network.base[[k]], link="identity",
        )
        for k in range(len(network.base))
    ]  # fmt: skip
    return np.concatenate([explain(alone(one), values)[:, :-1] for one in single], axis=2)


def test_network_without_hidden_layer_adds_weight_times_difference(rng) -> None:
    network, values = make_network(rng, hidden=()), make_values(rng)
    said, start = explain(alone(network), values), first_inputs(network, np.full(COLUMNS, np.nan))
    for row, one in zip(values, said, strict=True):
        added = network.scale * (first_inputs(network, row) - start) * network.weights[0][:, 0]
        np.testing.assert_allclose(one[:-1, 0], np.bincount(owners(), added), atol=1e-9)


def additive(network: Network) -> Network:
    """Return the network with as many hidden units as columns, each of which reads the inputs of one column."""
    apart = np.equal.outer(owners(), np.arange(COLUMNS))
    return replace(network, weights=(network.weights[0] * apart, network.weights[1]))


@pytest.mark.parametrize(("activation", "tolerance"), [("mish", 1e-9), ("selu", 0.01), ("relu", 0.01)])
def test_sum_of_functions_of_columns_adds_their_differences(rng, activation, tolerance) -> None:
    predictor = alone(additive(make_network(rng, hidden=(COLUMNS,), activation=activation)))
    values = make_values(rng)
    said = explain(predictor, values)
    for column in range(COLUMNS):
        lacking = values.copy()
        lacking[:, column] = np.nan
        own = predictor.predict(values) - predictor.predict(lacking)
        np.testing.assert_allclose(said[:, column, 0], own, atol=tolerance * np.abs(said).max())


@TASKS
def test_column_that_is_not_used_adds_nothing(rng, link, outputs, classes) -> None:
    network = make_network(rng, outputs=outputs, link=link)
    first = network.weights[0] * (owners() != 1)[:, None]
    predictor, values = alone(replace(network, weights=(first, *network.weights[1:])), classes), make_values(rng)
    said = explain(predictor, values)
    assert not said[:, 1].any()
    assert said[:, [0, 2, 3]].any()
    assert importance(predictor)[1] == 0


def test_columns_in_the_same_place_add_the_same(rng) -> None:
    network, own = make_network(rng), owners()
    first = network.weights[0].copy()
    first[np.flatnonzero(own == 2)] = first[np.flatnonzero(own == 0)[[0, 1, 2, 3]]]
    alike = {name: getattr(network, name)[[0, 1, 0]] for name in ("center", "factor", "frequency", "phase")}
    values = make_values(rng)
    values[:, 2] = values[:, 0]
    said = explain(alone(replace(network, weights=(first, *network.weights[1:]), **alike)), values)
    assert np.abs(said[:, 0]).max() > 0.1
    np.testing.assert_allclose(said[:, 0], said[:, 2], atol=1e-9)


def test_missing_value_and_unseen_code_add_nothing(rng) -> None:
    values = make_values(rng)
    said = explain(alone(make_network(rng)), values)
    nothing = np.isnan(values) | ((values >= 5) & (np.arange(COLUMNS) == 3))
    assert (values[:, 3] >= 5).any()
    assert not said[:, :-1, 0][nothing].any()
    assert said[:, :-1, 0][~nothing].all()


def test_jump_between_nodes_goes_to_the_columns_that_move(rng) -> None:
    """Both ends are clipped, and no node of the quadrature is on the steep way between."""
    network = make_network(rng, hidden=(), low=-1.0, high=1.0, center=np.zeros(3), factor=np.ones(3))
    weight = 1e9 * (np.arange(len(network.weights[0])) < 2)[:, None]
    network = replace(network, weights=(weight.astype(np.float32),), biases=(np.array([-5e8], np.float32),))
    said = explain(alone(network), np.array([[0.25, 0.75, 3.0, 1.0]], np.float32))
    assert said[0, :-1, 0].sum() == pytest.approx(2 * network.scale)
    assert said[0, 1, 0] > said[0, 0, 0] > 0
    assert not said[0, 2:4].any()


@pytest.mark.parametrize("temperature", [1.0, 0.6, 1.6])
def test_forest_and_networks_add_up_to_the_prediction(make_forest, make_rows, rng, temperature) -> None:
    forest = make_forest(rng, link="sigmoid", columns=6)
    networks = [
        as_member(make_network(rng, outputs=1, link="sigmoid"), 0.4, keep=np.array([5, 0, 2, 4], np.int32)),
        as_member(make_network(rng, outputs=2, link="softmax"), 0.1, keep=np.array([3, 2, 0, 1], np.int32)),
    ]
    predictor, values = (
        Predictor([Part(forest, 0.5)], networks, classes=2, temperature=temperature),
        make_rows(rng, 40, 6),
    )
    said = explain(predictor, values)
    np.testing.assert_allclose(said.sum(axis=1), predictor.predict(values), rtol=1e-9)
    assert np.ptp(said[:, -1], axis=0).max() == 0
    if temperature == 1.0:
        whole = [Predictor([Part(forest, 1.0)], classes=2)]
        whole += [Predictor([], [replace(member, weight=1.0)], classes=2, columns=6) for member in networks]
        parts = [explain(one, values) for one in whole]
        np.testing.assert_allclose(said, 0.5 * parts[0] + 0.4 * parts[1] + 0.1 * parts[2], atol=1e-12)


def with_product(network: Network) -> Opaque:
    """Return a member whose last column is the product of the first and the third one."""
    return as_member(network, keep=np.arange(COLUMNS, dtype=np.int32), derived=(Arithmetic("*", 0, 2),))


def test_derived_column_is_shared_among_its_sources(rng) -> None:
    network = make_network(rng, columns=COLUMNS + 1)
    first = network.weights[0] * (owners(COLUMNS + 1) == COLUMNS)[:, None]
    member = with_product(replace(network, weights=(first, *network.weights[1:])))
    predictor, values = Predictor([], [member], columns=COLUMNS), make_values(rng)
    said = explain(predictor, values)
    np.testing.assert_allclose(said.sum(axis=1)[:, 0], predictor.predict(values), rtol=1e-9)
    np.testing.assert_array_equal(said[:, 0], said[:, 2])
    assert np.abs(said[:, 0]).max() > 0
    assert not said[:, [1, 3]].any()
    np.testing.assert_allclose(importance(predictor), [0.5, 0, 0.5, 0])


def test_rows_in_blocks_are_explained_as_at_once(rng, monkeypatch) -> None:
    predictor, values = alone(make_network(rng, outputs=3, link="softmax"), 3), make_values(rng)
    at_once = explain(predictor, values)
    monkeypatch.setattr("automl.explain.network.CELLS", 1)
    np.testing.assert_allclose(explain(predictor, values), at_once, atol=1e-12)


def test_no_rows_have_no_contributions(rng) -> None:
    assert explain(alone(make_network(rng)), np.empty((0, COLUMNS), np.float32)).shape == (0, COLUMNS + 1, 1)


def test_importance_of_a_linear_network_goes_by_weights(rng) -> None:
    network = make_network(rng, hidden=())
    weight = np.zeros_like(network.weights[0])
    weight[:3, 0] = 1, -2, 0
    shares = importance(alone(replace(network, weights=(weight,))))
    np.testing.assert_allclose(shares, [1 / 3, 2 / 3, 0, 0], atol=0.05)


def test_importance_counts_categories_and_flags(rng) -> None:
    network, own = make_network(rng, hidden=()), owners()
    for rows, column in ((slice(3, 4), 2), (np.flatnonzero(own == 3), 3)):
        weight = np.zeros_like(network.weights[0])
        weight[rows] = 1
        np.testing.assert_array_equal(
            importance(alone(replace(network, weights=(weight,)))), np.arange(COLUMNS) == column
        )


def test_importance_counts_networks_by_weight(make_forest, rng) -> None:
    forest, network = make_forest(rng, columns=COLUMNS, derived=False), make_network(rng)
    apart = importance(Predictor([Part(forest, 1.0)])), importance(alone(network))
    both = importance(Predictor([Part(forest, 0.75)], [as_member(network, 0.25)]))
    np.testing.assert_allclose(both, 0.75 * apart[0] + 0.25 * apart[1])


def test_saved_network_is_explained_without_its_learner(rng, make_model, make_table, tmp_path) -> None:
    from automl import load_model
    from automl.model import Model

    known = make_model("regression")
    columns = len(known.encoder.columns)
    member = as_member(make_network(rng), keep=np.arange(4, dtype=np.int32))
    model = Model(known.encoder, Predictor([], [member], columns=columns), task="regression", schema=known.schema)
    model.save(tmp_path / "m.automl")
    again, table = load_model(tmp_path / "m.automl"), make_table()
    said = again.predict_contributions(table)
    np.testing.assert_allclose(said.sum(axis=1), model.predict(table), rtol=1e-9)
    assert again.feature_importance() == pytest.approx(model.feature_importance())
    assert max(again.feature_importance().values()) > 0
