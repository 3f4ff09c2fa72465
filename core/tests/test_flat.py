"""The plain evaluator, against the words of `automl_core.flat` followed row by row in plain Python."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from automl_core import Additive, Arithmetic, Derived, Forest, Lookup
from automl_core.testing.flat import check, evaluate

NAN = math.nan


def rows(*values: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def tree(link: str = "identity", **changes: Any) -> Forest:
    """One split: x <= 0.5 gives 1, else 2; on top of 10."""
    plain = {
        "columns": 1,
        "feature": np.array([0, -1, -1], np.int32),
        "threshold": np.array([0.5, 0, 0], np.float32),
        "left": np.array([1, 0, 1], np.int32),
        "right": np.array([2, 0, 0], np.int32),
        "missing_left": np.array([False, False, False]),
        "category": np.full(3, -1, np.int32),
        "words": np.zeros(3, np.int32),
        "bits": np.zeros(0, np.uint32),
        "values": np.array([[1.0], [2.0]]),
        "roots": np.array([0], np.int32),
        "output": np.array([0], np.int32),
        "base": np.array([10.0]),
        "link": link,
    }
    return Forest(**{**plain, **changes})


def line(link: str = "identity", **changes: Any) -> Additive:
    """Twice x, clipped to [-1, 3], plus the weight of a code of three."""
    plain = {
        "columns": 2,
        "weight": np.array([[2.0], [0.0]]),
        "missing": np.array([[7.0], [0.25]]),
        "low": np.array([-1.0, 0.0]),
        "high": np.array([3.0, 0.0]),
        "table": np.array([[100.0], [200.0], [300.0]]),
        "table_start": np.array([-1, 0], np.int32),
        "base": np.array([0.5]),
        "link": link,
    }
    return Additive(**{**plain, **changes})


def test_number_at_the_threshold_goes_left() -> None:
    above = float(np.nextafter(np.float32(0.5), np.float32(1)))
    assert evaluate(tree(), rows((0.5,), (above,), (-3e38,), (3e38,))).tolist() == [11, 12, 11, 12]


@pytest.mark.parametrize(("left", "value"), [(True, 11), (False, 12)])
def test_missing_number_goes_where_the_node_says(left: bool, value: float) -> None:
    flat = tree(missing_left=np.array([left, False, False]))
    assert evaluate(flat, rows((NAN,))).tolist() == [value]


@pytest.mark.parametrize(
    ("code", "value"), [(0, 12), (3, 11), (31, 12), (32, 11), (63, 12), (64, 12), (9999, 12), (3e38, 12)]
)
def test_codes_in_the_set_go_left(code: float, value: float) -> None:
    flat = tree(
        category=np.array([1, -1, -1], np.int32),
        words=np.array([2, 0, 0], np.int32),
        bits=np.array([0xFFFFFFFF, 1 << 3, 1], np.uint32),
    )
    assert evaluate(flat, rows((code,))).tolist() == [value]


def test_scale_multiplies_the_sum_of_the_trees() -> None:
    flat = tree(roots=np.array([0, 0], np.int32), output=np.array([0, 0], np.int32), scale=0.5)
    assert evaluate(flat, rows((0,), (1,))).tolist() == [11, 12]


def test_wide_leaf_adds_to_the_outputs_of_its_tree() -> None:
    flat = tree(
        "probability",
        values=np.array([[1.0, 3.0], [0.0, 0.0]]),
        output=np.array([1], np.int32),
        base=np.array([4.0, 0.0, 0.0]),
    )
    assert evaluate(flat, rows((0,))).tolist() == [[0.5, 0.125, 0.375]]


def test_tree_of_one_leaf_is_a_constant() -> None:
    assert evaluate(tree(roots=np.array([2], np.int32)), rows((0,), (NAN,))).tolist() == [12, 12]


@pytest.mark.parametrize(
    ("x", "code", "value"),
    [(1, 0, 102.5), (9, 1, 206.5), (-9, 2, 298.5), (NAN, 0, 107.5), (1, NAN, 2.75)],
)
def test_additive_model_clips_and_looks_up(x: float, code: float, value: float) -> None:
    assert evaluate(line(), rows((x, code))).tolist() == [value]


@pytest.mark.parametrize("raw", [-800.0, -1.0, 0.0, 2.0, 800.0])
def test_sigmoid_gives_both_classes(raw: float) -> None:
    flat = tree("sigmoid", base=np.array([raw - 1.0]))
    first = 1 / (1 + math.exp(-raw)) if raw > -700 else 0.0
    assert evaluate(flat, rows((0,)))[0] == pytest.approx([1 - first, first], abs=1e-15)


def test_softmax_gives_shares() -> None:
    flat = tree("softmax", base=np.array([-1.0, 800.0, 800.0]))
    assert evaluate(flat, rows((0,))).tolist() == [[0.0, 0.5, 0.5]]


def test_probabilities_are_clipped_and_divided_by_their_sum() -> None:
    flat = tree("probability", values=np.array([[-0.5], [0.0]]), base=np.array([0.25, 0.2, 0.6]))
    assert evaluate(flat, rows((0,)))[0] == pytest.approx([0, 0.25, 0.75])


def test_exp_undoes_a_logarithm() -> None:
    assert evaluate(tree("exp", base=np.array([0.0])), rows((0,))) == pytest.approx([math.e])


def key_of(*digits: int) -> int:
    key = 0
    for digit in digits:
        key = ((key ^ (digit + 1)) * 0x9E3779B97F4A7C15) % 2**64
        key ^= key >> 32
    return key


def lookup(sources: list[tuple[int, float, bool]], table: dict[int, float], default: float) -> Lookup:
    source, threshold, equal = zip(*sources, strict=True)
    keys = sorted(table)
    return Lookup(
        np.array(source, np.int32),
        np.array(threshold, np.float32),
        np.array(equal, bool),
        np.array(keys, np.uint64),
        np.array([table[key] for key in keys], np.float32),
        default,
    )


@pytest.mark.parametrize(
    ("row", "value"),
    [
        ((3, 0.6, 2), 1.0),  # code 3, above the threshold, equal to 2
        ((NAN, 0.5, 2), 2.0),  # missing, not above, equal
        ((3, NAN, NAN), 3.0),  # nothing holds for a missing number
        ((4, 0.6, 2), -1.0),  # a code that the table has not
    ],
)
def test_lookup_reads_its_digits(row: tuple[float, ...], value: float) -> None:
    derived = lookup(
        [(0, NAN, False), (1, 0.5, False), (2, 2.0, True)],
        {key_of(3, 1, 1): 1.0, key_of(0xFFFFFFFF, 0, 1): 2.0, key_of(3, 0, 0): 3.0},
        -1.0,
    )
    assert evaluate(identity_of(derived, columns=3), rows(row)).tolist() == [value]


@pytest.mark.parametrize(
    ("operator", "left", "right", "value"),
    [("+", 1, 2, 3), ("-", 1, 2, -1), ("*", 3, 2, 6), ("/", 1, 2, 0.5), ("/", 1, 0, None), ("*", 3e38, 3, None), ("+", NAN, 1, None)],
)  # fmt: skip
def test_arithmetic_of_two_columns(operator: str, left: float, right: float, value: float | None) -> None:
    flat = identity_of(Arithmetic(operator, 0, 1), columns=2)
    assert evaluate(flat, rows((left, right))).tolist() == [-7.0 if value is None else value]


def identity_of(derived: Derived, *, columns: int) -> Additive:
    """Return a model that predicts the derived column, and -7 where that is missing."""
    wide = columns + 1
    weight, missing = np.zeros((wide, 1)), np.zeros((wide, 1))
    weight[-1], missing[-1] = 1.0, -7.0
    infinite = np.full(wide, np.inf)
    none = np.zeros((0, 1))
    return Additive(
        columns, weight, missing, -infinite, infinite, none, np.full(wide, -1, np.int32), np.zeros(1), "identity",
        derived=(derived,),
    )  # fmt: skip


def test_random_forests_agree_with_a_walk_in_plain_python() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        flat = random_forest(rng)
        values = rng.normal(size=(50, 3)).astype(np.float32)
        values[:, 2] = rng.integers(0, 70, 50)
        values[rng.random(values.shape) < 0.2] = np.nan
        assert evaluate(flat, values) == pytest.approx([walk(flat, row) for row in values], abs=1e-12)


def random_forest(rng: np.random.Generator, trees: int = 4, depth: int = 4) -> Forest:
    inner, size = 2**depth - 1, 2 ** (depth + 1) - 1
    nodes, total = np.arange(size), trees * size
    offset = np.repeat(np.arange(trees) * size, size)
    leaf = np.tile(nodes >= inner, trees)
    feature = np.where(leaf, -1, rng.integers(0, 3, total))
    sets = feature == 2
    return Forest(
        columns=3,
        feature=feature.astype(np.int32),
        threshold=rng.normal(size=total).astype(np.float32),
        left=np.where(leaf, rng.integers(0, 9, total), offset + np.tile(2 * nodes + 1, trees)).astype(np.int32),
        right=np.where(leaf, 0, offset + np.tile(2 * nodes + 2, trees)).astype(np.int32),
        missing_left=rng.random(total) < 0.5,
        category=np.where(sets, rng.integers(0, 10, total), -1).astype(np.int32),
        words=np.where(sets, 2, 0).astype(np.int32),
        bits=rng.integers(0, 2**32, 12, dtype=np.uint32),
        values=rng.normal(size=(9, 1)),
        roots=(np.arange(trees) * size).astype(np.int32),
        output=np.zeros(trees, np.int32),
        base=np.array([0.5]),
        link="identity",
        scale=0.25,
    )


def walk(flat: Forest, row: NDArray[np.float32]) -> float:
    total = 0.0
    for root in flat.roots.tolist():
        node = root
        while flat.feature[node] >= 0:
            value = float(row[flat.feature[node]])
            if math.isnan(value):
                left = bool(flat.missing_left[node])
            elif flat.category[node] < 0:
                left = value <= float(flat.threshold[node])
            else:
                code = int(value)
                inside = code < 32 * int(flat.words[node])
                left = inside and bool(int(flat.bits[flat.category[node] + code // 32]) >> (code % 32) & 1)
            node = int(flat.left[node] if left else flat.right[node])
        total += float(flat.values[flat.left[node], 0])
    return float(flat.base[0]) + flat.scale * total


@pytest.mark.parametrize(
    ("flat", "message"),
    [
        (tree("logit"), "unknown link 'logit'"),
        (tree(base=np.zeros(2)), "needs one output, not 2"),
        (tree(threshold=np.zeros(3)), "threshold must be float32, not float64"),
        (tree(values=np.zeros((2, 1), np.float32)), "values must be float64, not float32"),
        (tree(feature=np.array([1, -1, -1], np.int32)), "reads a column outside of the 1 columns"),
        (tree(left=np.array([9, 0, 0], np.int32)), "a child is no node"),
        (tree(left=np.array([1, 0, 9], np.int32)), "a leaf names a value that is not there"),
        (tree(roots=np.array([3], np.int32)), "a root is no node"),
        (tree(output=np.array([1], np.int32)), "adds beyond the last output"),
        (tree(words=np.ones(2, np.int32)), r"words must have shape \(3,\)"),
        (tree(category=np.array([0, -1, -1], np.int32), words=np.ones(3, np.int32)), "ends beyond the bits"),
        (tree(left=np.array([0, 0, 1], np.int32)), "has a cycle"),
        (tree(derived=(Arithmetic("%", 0, 0),)), "unknown operator '%'"),
        (tree(derived=(Arithmetic("+", 0, 1),)), "outside of the 1 encoded ones"),
        (tree(derived=(lookup([(2, NAN, False)], {1: 1.0}, 0.0),)), "outside of the 1 encoded ones"),
        (tree(derived=(replace(lookup([(0, 0, False)], {1: 1.0, 2: 2.0}, 0.0), keys=np.array([2, 1], np.uint64)),)), "sorted"),
        (line(low=np.zeros(3)), r"low must have shape \(2,\)"),
        (line(weight=np.zeros((2, 2))), r"weight must have shape \(2, 1\)"),
        (line(table=np.zeros((3, 2))), "table must be"),
    ],
)  # fmt: skip
def test_arrays_that_contradict_their_description_are_refused(flat: Forest | Additive, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(flat, np.zeros((1, flat.columns), np.float32))


@pytest.mark.parametrize("values", [np.zeros((1, 1)), np.zeros((1, 2), np.float32), np.zeros(1, np.float32)])
def test_values_of_another_shape_or_type_are_refused(values: NDArray[np.float32]) -> None:
    with pytest.raises(ValueError, match="values must be float32 of shape"):
        evaluate(tree(), values)


def test_sound_model_passes_the_check() -> None:
    check(tree())
    check(line())
