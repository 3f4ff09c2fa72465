"""The predictor says what the plain evaluator of flat models says."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import pytest

from automl.artifact.flats import dump_flat, load_flat
from automl.predictor import Opaque, Part, Predictor
from automl.predictor.check import DEEPEST
from automl.predictor.dense import make_dense
from automl.predictor.kernel import COMPILED, load_program
from automl.predictor.layout import lay_out
from automl.predictor.lookups import DENSE, LOOKUP
from automl.predictor.program import OBLIVIOUS, WITH_SETS, compile_parts
from automl_core import DataError, Lookup
from automl_core.testing.flat import evaluate

COLUMNS = 6
ROWS = (1, 7, 8, 63, 64, 65, 500)
ways = pytest.mark.parametrize(
    "compiled", [pytest.param(True, marks=pytest.mark.skipif(not COMPILED, reason="the kernel is not built")), False]
)
CASES = {
    "numeric": ({"sets": False, "derived": False}, 0),
    "sets": ({}, 0),
    "oblivious": ({"oblivious": True, "leaves": 16}, 0),
    "oblivious classes": ({"oblivious": True, "leaves": 16, "outputs": 4, "width": 4, "link": "softmax"}, 4),
    "many oblivious": ({"oblivious": True, "leaves": 16, "trees": 27}, 0),
    "oblivious, an output each": ({"oblivious": True, "leaves": 16, "trees": 19, "outputs": 2, "link": "softmax"}, 2),
    "sigmoid": ({"link": "sigmoid"}, 2),
    "softmax": ({"outputs": 3, "link": "softmax"}, 3),
    "probability": ({"outputs": 3, "width": 3, "link": "probability"}, 3),
    "exp": ({"link": "exp"}, 0),
    "deep": ({"leaves": 400}, 0),
    "single leaves": ({"leaves": 1}, 0),
}


def run(parts, values, classes, *, compiled, temperature=1.0):
    outputs = max(classes, 1)
    program = compile_parts(parts, columns=values.shape[1], outputs=outputs, temperature=temperature)
    out = np.full((len(values), outputs), np.nan)
    load_program(program, compiled=compiled).predict(values, out)
    return out if classes else out[:, 0]


@ways
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("case", CASES)
def test_forest_is_evaluated_exactly(make_forest, make_rows, rng, case, rows, compiled) -> None:
    arguments, classes = CASES[case]
    forest, values = make_forest(rng, **arguments), make_rows(rng, rows, COLUMNS)
    said = run([Part(forest, 1.0)], values, classes, compiled=compiled)
    np.testing.assert_allclose(said, evaluate(forest, values), rtol=1e-12, atol=1e-13)


@ways
@pytest.mark.parametrize("seed", range(10))
def test_trees_of_any_shape_are_evaluated_exactly(make_forest, make_rows, seed, compiled) -> None:
    rng = np.random.default_rng(seed)
    forest = make_forest(rng, trees=int(rng.integers(1, 40)), leaves=int(rng.integers(1, 60)))
    values = make_rows(rng, 100, COLUMNS)
    for rows in (values, values[:3]):
        said = run([Part(forest, 1.0)], rows, 0, compiled=compiled)
        np.testing.assert_allclose(said, evaluate(forest, rows), rtol=1e-12, atol=1e-13)


@ways
@pytest.mark.parametrize(("outputs", "link", "classes"), [(1, "identity", 0), (1, "sigmoid", 2), (4, "softmax", 4)])
def test_additive_model_is_evaluated_exactly(make_additive, make_rows, rng, outputs, link, classes, compiled) -> None:
    additive, values = make_additive(rng, outputs=outputs, link=link), make_rows(rng, 200, COLUMNS)
    for rows in (values, values[:2]):
        said = run([Part(additive, 1.0)], rows, classes, compiled=compiled)
        np.testing.assert_allclose(said, evaluate(additive, rows), rtol=1e-12, atol=1e-13)


@ways
@pytest.mark.parametrize("rows", [1, 300])
@pytest.mark.parametrize("temperature", [1.0, 0.7, 1.9])
def test_ensemble_is_the_tempered_mean_of_its_members(
    make_forest, make_additive, make_rows, rng, rows, temperature, compiled
) -> None:
    flats = [
        make_forest(rng, link="sigmoid"),
        make_additive(rng, link="sigmoid"),
        make_forest(rng, link="softmax", outputs=2, oblivious=True, leaves=16),
        make_forest(rng, link="probability", outputs=2, width=2),
    ]
    weights = np.array([0.4, 0.3, 0.2, 0.1])
    values = make_rows(rng, rows, COLUMNS)
    mean = sum(w * evaluate(flat, values) for w, flat in zip(weights, flats, strict=True)) ** (1 / temperature)
    said = run(
        [Part(f, w) for f, w in zip(flats, weights, strict=True)], values, 2, compiled=compiled, temperature=temperature
    )
    np.testing.assert_allclose(said, mean / mean.sum(axis=1, keepdims=True), rtol=1e-10)


@ways
def test_infinite_and_tiny_values_are_decided_exactly(make_forest, rng, compiled) -> None:
    forest = make_forest(rng, sets=False, derived=False, trees=30)
    odd = np.array([0.0, -0.0, 1e-45, -1e-45, 3.4e38, -3.4e38, np.nan, 1e-38], dtype=np.float32)
    forest = replace(forest, threshold=rng.choice(odd[:6], len(forest.threshold)).astype(np.float32))
    values = rng.choice(odd, (500, COLUMNS)).astype(np.float32)
    said = run([Part(forest, 1.0)], values, 0, compiled=compiled)
    np.testing.assert_allclose(said, evaluate(forest, values), rtol=1e-12, atol=1e-13)


@ways
def test_threshold_may_be_infinite_or_missing(make_forest, rng, compiled) -> None:
    forest = make_forest(rng, sets=False, derived=False, trees=30)
    forest = replace(
        forest, threshold=rng.choice([np.inf, -np.inf, np.nan, 0.0], len(forest.threshold)).astype(np.float32)
    )
    values = rng.choice([np.nan, 0.0, 1.0, -1.0], (500, COLUMNS)).astype(np.float32)
    said = run([Part(forest, 1.0)], values, 0, compiled=compiled)
    np.testing.assert_allclose(said, evaluate(forest, values), rtol=1e-12, atol=1e-13)


@pytest.mark.skipif(not COMPILED, reason="the kernel is not built")
def test_codes_that_are_none_do_not_make_the_kernel_stray(make_forest, make_additive, rng) -> None:
    parts = [Part(make_forest(rng), 0.5), Part(make_additive(rng), 0.5)]
    odd = [-1.0, -7.5, 1e9, 4.2e9, 1e30, -1e30, np.inf, -np.inf, np.nan, 0.5]
    values = rng.choice(odd, (300, COLUMNS)).astype(np.float32)
    with np.errstate(invalid="ignore"):
        plain = run(parts, values, 0, compiled=False)
    np.testing.assert_allclose(run(parts, values, 0, compiled=True), plain, rtol=1e-12)


@ways
@pytest.mark.parametrize("dense", [True, False])
def test_lookups_are_exact_by_cell_and_by_search(make_forest, make_rows, rng, monkeypatch, dense, compiled) -> None:
    if not dense:
        monkeypatch.setattr("automl.predictor.lookups.make_dense", lambda item: None)
    forest, values = make_forest(rng, trees=40), make_rows(rng, 300, COLUMNS)
    values[0, 1], values[1, 1], values[2, 1] = -3.0, 1e9, 69.0
    kinds = compile_parts([Part(forest, 1.0)], columns=COLUMNS, outputs=1).lookups.rows[[0, 2], 0]
    assert kinds.tolist() == ([DENSE, DENSE] if dense else [LOOKUP, LOOKUP])
    for rows in (values, values[:3]):
        with np.errstate(invalid="ignore"):
            want = evaluate(forest, rows)
        np.testing.assert_allclose(run([Part(forest, 1.0)], rows, 0, compiled=compiled), want, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("codes", [0, 1, 15, 16, 17, 300, 9000])
def test_lookup_of_one_category_is_a_row_of_cells(codes) -> None:
    with np.errstate(over="ignore"):
        keys = (np.arange(1, codes + 1).astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
    keys ^= keys >> np.uint64(32)
    order = np.argsort(keys)
    values = np.arange(codes, dtype=np.float32)
    item = Lookup(
        np.zeros(1, np.int32), np.full(1, np.nan, np.float32), np.zeros(1, bool), keys[order], values[order], -7.0
    )
    dense = make_dense(item)
    assert dense is not None
    assert dense.cells[1 : codes + 1].tolist() == values.tolist()
    assert dense.cells[0] == dense.cells[-1] == -7.0


def test_lookup_of_scattered_codes_is_searched() -> None:
    item = Lookup(
        np.zeros(1, np.int32),
        np.full(1, np.nan, np.float32),
        np.zeros(1, bool),
        np.array([1, 2], np.uint64),
        np.ones(2, np.float32),
        0.0,
    )
    assert make_dense(item) is None


def test_equal_levels_are_evaluated_by_their_bits(make_forest, rng) -> None:
    forest = make_forest(rng, oblivious=True, leaves=16)
    program = compile_parts([Part(forest, 1.0)], columns=COLUMNS, outputs=1)
    assert (program.trees[:, 1] == OBLIVIOUS).all()
    assert len(program.value) == 4 * len(forest.roots)


def test_numeric_trees_are_spared_the_test_for_sets(make_forest, rng) -> None:
    numeric, mixed = make_forest(rng, sets=False), make_forest(rng)
    program = compile_parts([Part(numeric, 0.5), Part(mixed, 0.5)], columns=COLUMNS, outputs=1)
    assert not (program.trees[: len(numeric.roots), 1] == WITH_SETS).any()
    assert (program.trees[len(numeric.roots) :, 1] == WITH_SETS).any()


def test_equal_derived_columns_of_two_members_are_computed_once(make_forest) -> None:
    twins = [make_forest(np.random.default_rng(3)) for _ in range(2)]
    program = compile_parts([Part(flat, 0.5) for flat in twins], columns=COLUMNS, outputs=1)
    assert len(program.derived) == len(twins[0].derived)


def test_nodes_of_dropped_trees_are_dropped(make_forest, rng) -> None:
    forest = make_forest(rng, trees=10)
    cut = replace(forest, roots=forest.roots[:1], output=forest.output[:1])
    assert len(compile_parts([Part(cut, 1.0)], columns=COLUMNS, outputs=1).value) < len(forest.feature) / 5


SHAPES = pytest.mark.parametrize("arguments", [{}, {"leaves": 300}, {"oblivious": True, "leaves": 16}, {"leaves": 1}])


@SHAPES
def test_order_of_a_file_is_the_order_of_the_kernel(make_forest, rng, arguments) -> None:
    forest = load_flat(dump_flat(make_forest(rng, **arguments)))
    np.testing.assert_array_equal(lay_out(forest).node, np.arange(len(forest.feature)))


@SHAPES
@pytest.mark.parametrize("covered", [True, False])
@pytest.mark.skipif(not COMPILED, reason="the kernel is not built")
def test_numpy_compiles_a_forest_to_what_the_kernel_does(make_forest, rng, monkeypatch, arguments, covered) -> None:
    forest = make_forest(rng, **arguments)
    parts = [Part(forest if covered else replace(forest, cover=None), 1.0)]
    by_kernel = [compile_parts(parts, columns=COLUMNS, outputs=1, oblivious=way) for way in (True, False)]
    for module in ("check", "layout", "program"):
        monkeypatch.setattr(f"automl.predictor.{module}.kernel", None)
    by_numpy = [compile_parts(parts, columns=COLUMNS, outputs=1, oblivious=way) for way in (True, False)]
    for one, other in zip(by_kernel, by_numpy, strict=True):
        for name in ("value", "feature", "delta", "trees", "node", "reals"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        for name in ("entries", "spans", "rows"):
            np.testing.assert_array_equal(getattr(one.leaves, name), getattr(other.leaves, name))


ASTRAY = {
    "a child of two": lambda f: {"left": np.where(f.feature >= 0, f.right, f.left)},
    "a child that is no node": lambda f: {"right": np.where(f.feature >= 0, len(f.feature), 0).astype(np.int32)},
    "a root that is no node": lambda f: {"roots": f.roots - len(f.feature)},
    "fewer children than nodes": lambda f: {"left": f.left[:-1]},
}


@pytest.mark.parametrize("change", ASTRAY)
@pytest.mark.skipif(not COMPILED, reason="the kernel is not built")
def test_unchecked_nodes_do_not_make_the_kernel_stray(make_forest, rng, change) -> None:
    forest = make_forest(rng)
    with pytest.raises(ValueError, match=r"a child is no node|arrays differ in length"):
        lay_out(replace(forest, **ASTRAY[change](forest)))


@ways
@pytest.mark.parametrize(("levels", "fits"), [(DEEPEST - 1, True), (DEEPEST, False)])
def test_tree_of_too_many_levels_is_refused(make_forest, rng, monkeypatch, levels, fits, compiled) -> None:
    if not compiled:
        monkeypatch.setattr("automl.predictor.layout.kernel", None)
    nodes = np.arange(2 * levels + 1, dtype=np.int32)
    inner = (nodes % 2 == 0) & (nodes < 2 * levels)  # each has a leaf and the next one below it
    left, right = np.where(inner, nodes + 1, 0).astype(np.int32), np.where(inner, nodes + 2, 0).astype(np.int32)
    chain = replace(
        make_forest(rng), feature=np.where(inner, 0, -1).astype(np.int32), left=left, right=right,
        roots=nodes[:1], cover=np.ones(len(nodes), np.float32),
    )  # fmt: skip
    with contextlib.nullcontext() if fits else pytest.raises(DataError, match=f"more than {DEEPEST} levels"):
        assert lay_out(chain).depth.tolist() == [levels]


CHANGES = {
    "trees are dropped": lambda f: {"roots": f.roots[2:7], "output": f.output[2:7]},
    "the first and last trees are dropped": lambda f: {"roots": f.roots[1:-1], "output": f.output[1:-1]},
    "trees are in another order": lambda f: {"roots": f.roots[::-1].copy(), "output": f.output[::-1].copy()},
    "the lighter child was the heavier": lambda f: {"cover": 1 / (1 + f.cover)},
    "nobody knows the heavier child": lambda f: {"cover": None},
    "children are exchanged": lambda f: {
        "left": np.where(f.feature < 0, f.left, f.right), "right": np.where(f.feature < 0, f.right, f.left)
    },
}  # fmt: skip


@ways
@pytest.mark.parametrize("change", CHANGES)
def test_forest_changed_since_it_was_stored_is_evaluated_exactly(make_forest, make_rows, rng, change, compiled) -> None:
    forest, values = load_flat(dump_flat(make_forest(rng, leaves=60))), make_rows(rng, 100, COLUMNS)
    forest = replace(forest, **CHANGES[change](forest))
    for rows in (values, values[:3]):
        said = run([Part(forest, 1.0)], rows, 0, compiled=compiled)
        np.testing.assert_allclose(said, evaluate(forest, rows), rtol=1e-12, atol=1e-13)


def test_tree_too_wide_for_two_words_goes_to_numpy(make_forest, make_rows, rng) -> None:
    from automl.predictor.kernel import pack

    forest = make_forest(rng, columns=6)
    program = compile_parts([Part(forest, 1.0)], columns=COLUMNS, outputs=1)
    wide = replace(program, delta=np.where(program.delta > 0, 1 << 31, 0))
    assert pack(wide) is None


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_nothing(make_forest, make_rows, rng, threads) -> None:
    predictor = Predictor([Part(make_forest(rng, link="sigmoid"), 1.0)], classes=2)
    values = make_rows(rng, 5000, COLUMNS)
    np.testing.assert_array_equal(predictor.predict(values, threads=threads), predictor.predict(values))


def test_no_rows_give_no_predictions(make_forest, make_rows, rng) -> None:
    assert Predictor([Part(make_forest(rng), 1.0)]).predict(make_rows(rng, 0, COLUMNS)).shape == (0,)


class Halves:
    rounds = None

    def predict(self, values):
        return np.column_stack([values[:, 0], 1 - values[:, 0]]).astype(np.float64)


def test_member_without_flat_form_reads_its_own_columns(make_forest, make_rows, rng) -> None:
    forest = make_forest(rng, link="sigmoid")
    values = make_rows(rng, 50, COLUMNS)
    values[:, 2] = rng.random(50)
    member = Opaque("halves", None, Halves(), np.array([2, 0], dtype=np.int32), forest.derived, 0.25)
    said = Predictor([Part(forest, 0.75)], [member], classes=2).predict(values)
    want = 0.75 * evaluate(forest, values) + 0.25 * np.column_stack([values[:, 2], 1 - values[:, 2]])
    np.testing.assert_allclose(said, want, rtol=1e-6)


def test_wrong_number_of_columns_is_told(make_forest, make_rows, rng) -> None:
    with pytest.raises(DataError, match=r"\(rows, 6\), not float32 \(4, 5\)"):
        Predictor([Part(make_forest(rng), 1.0)]).predict(make_rows(rng, 4, 5))


@pytest.mark.parametrize("weights", [(0.5, 0.2), (1.5, -0.5), (float("nan"), 1.0)])
def test_weights_must_sum_to_one(make_forest, rng, weights) -> None:
    with pytest.raises(DataError, match="weights"):
        Predictor([Part(make_forest(rng), w) for w in weights])


def test_members_of_another_task_are_refused(make_forest, rng) -> None:
    with pytest.raises(DataError, match="'identity' cannot predict 2 classes"):
        Predictor([Part(make_forest(rng), 1.0)], classes=2)


BROKEN = {
    "a node has two parents": lambda f: {"left": np.where(f.feature >= 0, f.right, f.left).astype(np.int32)},
    "a root is no node": lambda f: {"roots": np.full_like(f.roots, len(f.feature))},
    "a node reads a column": lambda f: {"feature": np.where(f.feature >= 0, 99, -1).astype(np.int32)},
    "a child is no node": lambda f: {"right": np.full_like(f.right, -5)},
    "a leaf has no value": lambda f: {"values": f.values[:1]},
    "a set ends beyond": lambda f: {"bits": f.bits[:0]},
    "a tree adds to outputs": lambda f: {"output": f.output + 1},
    "not of type float32": lambda f: {"threshold": f.threshold.astype(np.float64)},
    "wrong shape": lambda f: {"threshold": f.threshold[:-1]},
    "a leaf is not finite": lambda f: {"values": f.values * np.inf},
}


@ways
@pytest.mark.parametrize("message", BROKEN)
def test_damaged_forest_is_refused(make_forest, rng, monkeypatch, message, compiled) -> None:
    if not compiled:
        monkeypatch.setattr("automl.predictor.check.kernel", None)
    forest = make_forest(rng)
    with pytest.raises(DataError, match=message), np.errstate(all="ignore"):
        Predictor([Part(replace(forest, **BROKEN[message](forest)), 1.0)])
