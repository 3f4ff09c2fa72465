from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_core import Choice, Float, Int, Space, When

SPACE = Space(
    {
        "rate": Float(1e-3, 1.0, log=True),
        "depth": Int(1, 8),
        "leaves": Int(2, 512, log=True),
        "growth": Choice(("leaf", "level")),
        "drop": Float(0.0, 0.5, when=When("growth", ("leaf",))),
    }
)


@given(st.integers())
def test_samples_lie_in_the_space(seed: int) -> None:
    params = SPACE.sample(Random(seed))
    SPACE.check(params)
    assert ("drop" in params) == (params["growth"] == "leaf")


def test_logarithmic_int_reaches_both_ends() -> None:
    drawn = {Int(1, 4, log=True).sample(Random(seed)) for seed in range(200)}
    assert drawn == {1, 2, 3, 4}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"deepth": 3}, "unknown parameter 'deepth'"),
        ({"depth": 9}, "depth=9"),
        ({"depth": 2.0}, "depth=2.0"),
        ({"depth": True}, "depth=True"),
        ({"rate": 0}, "rate=0"),
        ({"rate": math.nan}, "rate=nan"),
        ({"growth": "deep"}, "growth='deep'"),
    ],
)
def test_wrong_parameter_is_named(params: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SPACE.check(params)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Float(1.0, 0.0),
        lambda: Float(0.0, math.inf),
        lambda: Int(0, 5, log=True),
        lambda: Choice(()),
        lambda: Space({"a": Int(0, 1, when=When("b", (1,))), "b": Int(0, 1)}),
    ],
    ids=["falling", "infinite", "log-of-zero", "empty", "condition-before-its-name"],
)
def test_senseless_dimension_is_refused(make: object) -> None:
    with pytest.raises(ValueError):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("space", "size"),
    [
        (Space(), 1),
        (Space({"a": Int(1, 3), "b": Choice((1, 2))}), 6),
        (SPACE, math.inf),
        (Space({"a": Float(1, 1)}), 1),
    ],
)
def test_size_counts_configurations(space: Space, size: float) -> None:
    assert space.size == size


def test_grid_has_every_configuration_once() -> None:
    space = Space({"a": Int(1, 2), "b": Choice(("x", "y")), "c": Choice((True, False), when=When("b", ("y",)))})
    points = list(space.grid())
    assert points == [
        {"a": 1, "b": "x"}, {"a": 1, "b": "y", "c": True}, {"a": 1, "b": "y", "c": False},
        {"a": 2, "b": "x"}, {"a": 2, "b": "y", "c": True}, {"a": 2, "b": "y", "c": False},
    ]  # fmt: skip


def test_infinite_space_has_no_grid() -> None:
    with pytest.raises(ValueError, match="infinite"):
        SPACE.grid()


def test_choice_tells_types_apart() -> None:
    assert Choice((1, True)).contains(True)
    assert not Choice((1,)).contains(True)
    assert not Choice((1,)).contains(1.0)
