"""The plain evaluator of networks, against sums written out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from automl_core import Network
from automl_core.testing.flat import check, evaluate

NAN = math.nan


def network(**changes: Any) -> Network:
    """One number x with one cosine, its flag, one category of two codes; one hidden unit, one output."""
    plain = Network(
        columns=2,
        source=np.array([0], np.int32),
        center=np.array([1.0]),
        factor=np.array([2.0]),
        flags=np.array([0], np.int32),
        frequency=np.array([[0.5]], np.float32),
        phase=np.array([[0.25]], np.float32),
        categories=np.array([1], np.int32),
        start=np.array([0], np.int32),
        width=np.array([1], np.int32),
        levels=np.array([2], np.int32),
        table=np.array([3, 5, 7], np.float32),
        weights=(np.array([[1], [10], [100], [1000]], np.float32), np.array([[2]], np.float32)),
        biases=(np.array([4], np.float32), np.array([6], np.float32)),
        activation="selu",
        base=np.array([20.0]),
        link="identity",
        scale=3.0,
    )
    return replace(plain, **changes)


def selu(x: float) -> float:
    return 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * math.expm1(x))


@pytest.mark.parametrize(
    ("x", "code", "missing", "entry"),
    [(2.5, 0, 0, 3), (2.5, 1, 0, 5), (2.5, NAN, 0, 7), (NAN, 1, 1, 5), (-1e30, 0, 0, 3)],
)
def test_inputs_stand_in_their_order(x: float, code: float, missing: int, entry: float) -> None:
    t = 2 * (x - 1)
    z = 0.0 if missing else t / math.sqrt(1 + (t / 3) ** 2)
    hidden = 4 + z + 10 * missing + 100 * math.cos(0.5 * z + 0.25) + 1000 * entry
    value = 20 + 3 * (6 + 2 * selu(hidden))
    assert evaluate(network(), np.array([[x, code]], np.float32))[0] == pytest.approx(value)


@pytest.mark.parametrize("x", [-800.0, -1.0, 0.0, 1.0, 800.0])
@pytest.mark.parametrize("activation", ["selu", "mish", "relu"])
def test_activation_is_what_its_name_says(activation: str, x: float) -> None:
    zeros = np.zeros((4, 1), np.float32)
    model = network(
        activation=activation,
        weights=(zeros, np.ones((1, 1), np.float32)),
        biases=(np.array([x], np.float32), np.zeros(1, np.float32)),
        base=np.zeros(1),
        scale=1.0,
    )
    mish = x * math.tanh(math.log1p(math.exp(x)) if x < 700 else x)
    want = {"mish": mish, "relu": max(x, 0.0), "selu": selu(x)}[activation]
    assert evaluate(model, np.zeros((1, 2), np.float32))[0] == pytest.approx(want)


def test_last_layer_is_bounded() -> None:
    model = network(low=-1.0, high=1.0)
    assert evaluate(model, np.zeros((1, 2), np.float32))[0] == 23.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation": "tanh"}, "activation"),
        ({"source": np.array([2], np.int32)}, "outside"),
        ({"levels": np.array([3], np.int32)}, "table"),
        ({"flags": np.zeros(0, np.int32)}, "inputs"),
        ({"base": np.zeros(2), "link": "softmax"}, "output"),
        ({"center": np.zeros(1, np.float32)}, "float64"),
    ],
)
def test_arrays_that_contradict_each_other_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check(network(**changes))
