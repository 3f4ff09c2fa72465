"""Contributions add up to predictions, and are Shapley values by their definition."""

from __future__ import annotations

import gc
from dataclasses import replace
from itertools import combinations
from math import factorial
from weakref import ref

import numpy as np
import pytest

from automl.explain import contributions, explain, importance
from automl.predictor import Opaque, Part, Predictor
from automl.predictor.kernel import COMPILED
from automl.predictor.program import compile_parts
from automl_core import DataError
from automl_core.testing.flat import evaluate

COLUMNS = 6
ways = pytest.mark.parametrize(
    "compiled", [pytest.param(True, marks=pytest.mark.skipif(not COMPILED, reason="the kernel is not built")), False]
)


def known_value(forest, row, known, node):
    """Return what a tree says where only the columns in `known` are known (Lundberg 2018, algorithm 1)."""
    if forest.feature[node] < 0:
        return forest.values[forest.left[node], 0]
    left, right = forest.left[node], forest.right[node]
    if forest.feature[node] in known:
        stump = replace(forest, roots=np.array([node], np.int32), output=np.zeros(1, np.int32))
        return known_value(forest, row, known, left if goes_left(stump, row, node) else right)
    cover = forest.cover.astype(float)
    mass = cover[left] + cover[right]
    return sum(known_value(forest, row, known, child) * cover[child] / mass for child in (left, right))


def goes_left(forest, row, node):
    """Ask one node, by a tree of it and two leaves."""
    feature, left, right = (getattr(forest, name).copy() for name in ("feature", "left", "right"))
    for child, leaf in ((left[node], 0), (right[node], 1)):
        feature[child], left[child] = -1, leaf
    single = replace(
        forest,
        feature=feature,
        left=left,
        values=np.append(np.ones(1), np.zeros(60))[:, None],
        base=np.zeros(1),
        scale=1.0,
        link="identity",
    )
    return evaluate(single, row[None])[0] == 1.0


def brute_force(forest, row):
    players = sorted(set(forest.feature[forest.feature >= 0].tolist()))
    shapley = np.zeros(forest.columns)
    for root in forest.roots:
        for player in players:
            others = [p for p in players if p != player]
            for size in range(len(others) + 1):
                weight = factorial(size) * factorial(len(others) - size) / factorial(len(players))
                for some in combinations(others, size):
                    with_it = known_value(forest, row, {*some, player}, root)
                    shapley[player] += weight * (with_it - known_value(forest, row, set(some), root))
    return forest.scale * shapley


@ways
def test_contributions_are_shapley_values(make_forest, make_rows, rng, compiled) -> None:
    forest = make_forest(rng, trees=2, leaves=8, columns=4, derived=False)
    values = make_rows(rng, 4, 4)
    said = explain(Predictor([Part(forest, 1.0)]), values, compiled=compiled)
    for row, one in zip(values, said, strict=True):
        np.testing.assert_allclose(one[:-1, 0], brute_force(forest, row), atol=1e-10)


CASES = {
    "identity": ({}, 0),
    "exp": ({"link": "exp"}, 0),
    "sigmoid": ({"link": "sigmoid"}, 2),
    "softmax": ({"outputs": 3, "link": "softmax"}, 3),
    "probability": ({"outputs": 3, "width": 3, "link": "probability"}, 3),
    "oblivious": ({"oblivious": True, "leaves": 16}, 0),
    "deep": ({"leaves": 120, "trees": 2}, 0),
    "single leaves": ({"leaves": 1}, 0),
}


@ways
@pytest.mark.parametrize("case", CASES)
def test_contributions_add_up_to_the_prediction(make_forest, make_rows, rng, case, compiled) -> None:
    arguments, classes = CASES[case]
    predictor = Predictor([Part(make_forest(rng, **arguments), 1.0)], classes=classes)
    values = make_rows(rng, 40, COLUMNS)
    said = explain(predictor, values, compiled=compiled)
    assert said.shape == (40, COLUMNS + 1, max(classes, 1))
    assert np.ptp(said[:, -1], axis=0).max() == 0
    np.testing.assert_allclose(
        said.sum(axis=1).reshape(predictor.predict(values).shape), predictor.predict(values), rtol=1e-9
    )


@pytest.mark.skipif(not COMPILED, reason="the kernel is not built")
@pytest.mark.parametrize("case", CASES)
def test_kernel_and_numpy_explain_alike(make_forest, make_rows, rng, case) -> None:
    arguments, classes = CASES[case]
    predictor = Predictor([Part(make_forest(rng, **arguments), 1.0)], classes=classes)
    values = make_rows(rng, 20, COLUMNS)
    np.testing.assert_allclose(explain(predictor, values), explain(predictor, values, compiled=False), atol=1e-9)


@pytest.mark.parametrize("temperature", [1.0, 1.6])
def test_contributions_of_an_ensemble_add_up_to_its_prediction(
    make_forest, make_additive, make_rows, rng, temperature
) -> None:
    flats = [
        make_forest(rng, link="sigmoid"),
        make_additive(rng, link="sigmoid"),
        make_forest(rng, link="probability", outputs=2, width=2),
    ]
    predictor = Predictor(
        [Part(f, w) for f, w in zip(flats, (0.5, 0.3, 0.2), strict=True)], classes=2, temperature=temperature
    )
    values = make_rows(rng, 30, COLUMNS)
    said = explain(predictor, values)
    np.testing.assert_allclose(said.sum(axis=1), predictor.predict(values), rtol=1e-9)
    assert np.ptp(said[:, -1], axis=0).max() == 0


def test_additive_model_adds_what_its_columns_add(make_additive, make_rows, rng) -> None:
    additive = make_additive(rng, derived=False)
    predictor, values = Predictor([Part(additive, 1.0)]), make_rows(rng, 20, COLUMNS)
    said = explain(predictor, values)
    lacking = values.copy()
    lacking[:, 2] = np.nan
    np.testing.assert_allclose(said[:, 2, 0], predictor.predict(values) - predictor.predict(lacking), atol=1e-12)


def test_derived_column_is_shared_among_its_sources(make_forest, make_rows, rng) -> None:
    forest = make_forest(rng, trees=1, leaves=2)
    root = int(forest.roots[0])
    feature = forest.feature.copy()
    feature[root] = COLUMNS + 1  # column 0 and column 2
    forest = replace(forest, feature=feature, category=np.full_like(forest.category, -1))
    said = explain(Predictor([Part(forest, 1.0)]), make_rows(rng, 10, COLUMNS))
    np.testing.assert_array_equal(said[:, 0], said[:, 2])
    assert np.abs(said[:, 0]).max() > 0
    assert not said[:, [1, 3, 4, 5]].any()


def test_forest_without_cover_says_so(make_forest, make_rows, rng) -> None:
    with pytest.raises(DataError, match="cannot be explained"):
        explain(Predictor([Part(replace(make_forest(rng), cover=None), 1.0)]), make_rows(rng, 1, COLUMNS))


class Constant:
    rounds = None

    def predict(self, values):
        return np.ones(len(values))


def test_member_without_flat_form_says_so(make_forest, make_rows, rng) -> None:
    member = Opaque("constant", None, Constant(), np.array([0], np.int32), (), 0.5)
    predictor = Predictor([Part(make_forest(rng), 0.5)], [member])
    with pytest.raises(DataError, match="'constant' has no flat form"):
        explain(predictor, make_rows(rng, 1, COLUMNS))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_contributions_are_those_of_shap(rng) -> None:
    shap = pytest.importorskip("shap")
    from sklearn.ensemble import RandomForestRegressor

    values = rng.normal(size=(300, 4)).astype(np.float32)
    model = RandomForestRegressor(10, max_depth=5, random_state=0).fit(
        values, values[:, 0] * values[:, 1] + values[:, 2]
    )
    said = explain(Predictor([Part(flatten(model), 1.0)]), values[:50])
    explainer = shap.TreeExplainer(model)
    np.testing.assert_allclose(said[:, :-1, 0], explainer.shap_values(values[:50]), atol=1e-6)
    np.testing.assert_allclose(said[:, -1, 0], np.ravel(explainer.expected_value)[0], atol=1e-6)


def flatten(model):
    from automl_core import Forest

    trees = [estimator.tree_ for estimator in model.estimators_]
    starts = np.concatenate([[0], np.cumsum([tree.node_count for tree in trees])])
    whole = {
        n: np.concatenate([getattr(t, n) for t in trees]) for n in ("feature", "threshold", "weighted_n_node_samples")
    }
    leaf, nodes = whole["feature"] < 0, starts[-1]
    shift = np.repeat(starts[:-1], np.diff(starts))
    left = np.where(leaf, np.arange(nodes), np.concatenate([t.children_left for t in trees]) + shift)
    right = np.where(leaf, 0, np.concatenate([t.children_right for t in trees]) + shift)
    threshold = whole["threshold"].astype(np.float32)
    above = threshold.astype(float) > whole["threshold"]
    threshold[above] = np.nextafter(threshold[above], np.float32(-np.inf))
    return Forest(
        columns=4, feature=np.where(leaf, -1, whole["feature"]).astype(np.int32), threshold=threshold,
        left=left.astype(np.int32), right=right.astype(np.int32), missing_left=np.zeros(nodes, bool),
        category=np.full(nodes, -1, np.int32), words=np.zeros(nodes, np.int32), bits=np.zeros(0, np.uint32),
        values=np.concatenate([t.value[:, 0] for t in trees]), roots=starts[:-1].astype(np.int32),
        output=np.zeros(len(trees), np.int32), base=np.zeros(1), link="identity", scale=1 / len(trees),
        cover=whole["weighted_n_node_samples"].astype(np.float32),
    )  # fmt: skip


@pytest.mark.parametrize("lost", [(), ("gain",), ("gain", "cover")])
def test_importance_finds_the_column_that_matters(rng, lost) -> None:
    from sklearn.ensemble import RandomForestRegressor

    values = rng.normal(size=(300, 4)).astype(np.float32)
    model = RandomForestRegressor(10, max_depth=3, random_state=0).fit(values, 3 * values[:, 1] + 0.1 * values[:, 3])
    forest = replace(flatten(model), **dict.fromkeys(lost))
    shares = importance(Predictor([Part(forest, 1.0)]))
    assert shares.sum() == pytest.approx(1)
    assert shares.argmax() == 1


def test_importance_by_cover_is_that_of_scikit_learn(rng) -> None:
    from sklearn.tree import DecisionTreeRegressor

    values = rng.normal(size=(300, 4)).astype(np.float32)
    model = DecisionTreeRegressor(max_depth=4).fit(values, 3 * values[:, 1] + values[:, 3] ** 2)
    model.estimators_ = [model]
    np.testing.assert_allclose(
        importance(Predictor([Part(flatten(model), 1.0)])), model.feature_importances_, rtol=1e-5
    )


def test_importance_counts_members_by_weight(make_forest, make_additive, rng) -> None:
    forest, additive = make_forest(rng, derived=False), make_additive(rng, derived=False)
    alone = [importance(Predictor([Part(flat, 1.0)])) for flat in (forest, additive)]
    both = importance(Predictor([Part(forest, 0.75), Part(additive, 0.25)]))
    np.testing.assert_allclose(both, 0.75 * alone[0] + 0.25 * alone[1])


def test_what_explains_a_predictor_is_made_once_and_goes_with_it(make_forest, make_rows, rng, monkeypatch) -> None:
    made = []

    def compile_counted(*arguments: object, **options: object) -> object:
        made.append(options)
        return compile_parts(*arguments, **options)

    monkeypatch.setattr(contributions, "compile_parts", compile_counted)
    predictor, values = Predictor([Part(make_forest(rng), 1.0)]), make_rows(rng, 5, COLUMNS)
    first = explain(predictor, values)
    np.testing.assert_array_equal(explain(predictor, values), first)
    assert len(made) == 1
    gone = ref(predictor)
    del predictor
    gc.collect()
    assert gone() is None
