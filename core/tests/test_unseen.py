from __future__ import annotations

from random import Random

import pytest

from automl_core import Choice, Float, Int, Space, Unseen, When


@pytest.mark.parametrize("seed", range(3))
def test_a_finite_space_is_drawn_whole_and_nothing_twice(seed):
    space = Space({"kind": Choice((1, True, 1.0)), "depth": Int(1, 3, when=When("kind", (1,)))})
    unseen = Unseen(space, Random(seed))
    drawn = []
    while (params := unseen.draw()) is not None:
        drawn.append(params)
    everything = sorted(map(repr, space.grid()))
    assert sorted(map(repr, drawn)) == everything
    assert unseen.exhausted


def test_what_was_taken_elsewhere_is_not_drawn():
    unseen = Unseen(Space({"a": Int(1, 2)}), Random(0))
    assert unseen.take({"a": 1})
    assert not unseen.take({"a": 1})
    assert unseen.draw() == {"a": 2}
    assert unseen.draw() is None


def test_an_empty_space_has_one_configuration():
    unseen = Unseen(Space(), Random(0))
    assert (unseen.draw(), unseen.draw()) == ({}, None)


def test_a_large_finite_space_counts_as_used_up_when_draws_bring_nothing_new():
    space = Space({"a": Int(1, 200), "b": Int(1, 100)})
    unseen = Unseen(space, Random(0))
    for params in space.grid():
        unseen.take(params)
    assert not unseen.exhausted  # that is known by drawing only
    assert unseen.draw() is None
    assert unseen.exhausted


def test_an_infinite_space_never_ends():
    unseen = Unseen(Space({"x": Float(0.0, 1.0)}), Random(0))
    assert len({unseen.draw()["x"] for _ in range(50)}) == 50
    assert not unseen.exhausted
