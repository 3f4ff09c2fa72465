"""Forests as ONNX tree ensembles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.export.graph import Graph
from automl.predictor.layout import Layout, lay_out
from automl_core import Column, Forest

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["add_forest"]

MODES = np.array(["BRANCH_LEQ", "BRANCH_EQ", "LEAF"])
LEQ, EQ, LEAF = range(3)


def add_forest(graph: Graph, forest: Forest, features: str, columns: Sequence[Column]) -> str:
    """Add a forest over encoded and derived columns; returns its raw scores, (rows, outputs) of float32.

    A set of codes becomes a chain of nodes that ask for one code each, which all share the first child.
    """
    layout = lay_out(forest)
    tree = np.repeat(np.arange(len(layout.depth)), np.diff(layout.begin))
    table = _nodes(forest, layout, columns)
    own = layout.begin[:-1][tree]
    leaf = np.flatnonzero(layout.delta == 0)
    width = forest.values.shape[1]
    values = forest.scale * forest.values[forest.left[layout.node[leaf]]]
    outputs = forest.output[tree[leaf]][:, None] + np.arange(width)
    added = graph.add(
        "TreeEnsembleRegressor",
        features,
        domain="ai.onnx.ml",
        n_targets=len(forest.base),
        nodes_treeids=tree[table["node"]].tolist(),
        nodes_nodeids=table["number"].tolist(),
        nodes_featureids=table["feature"].tolist(),
        nodes_modes=MODES[table["mode"]].tolist(),
        nodes_values=table["value"].tolist(),
        nodes_truenodeids=table["true"].tolist(),
        nodes_falsenodeids=table["false"].tolist(),
        nodes_missing_value_tracks_true=table["missing"].tolist(),
        target_treeids=np.repeat(tree[leaf], width).tolist(),
        target_nodeids=np.repeat(leaf - own[leaf], width).tolist(),
        target_ids=outputs.ravel().tolist(),
        target_weights=values.ravel().tolist(),
    )
    # Not as `base_values`: ONNX Runtime 1.32 leaves them out for outputs that no tree adds to.
    return graph.add("Add", added, graph.numbers(forest.base[None]))


def _nodes(forest: Forest, layout: Layout, columns: Sequence[Column]) -> dict[str, NDArray[Any]]:
    """Return the rows of all nodes, those of a tree together; numbers of nodes count from 0 in each tree."""
    codes = [_codes(forest, int(node), columns) for node in layout.node]
    chain = np.array([1 if code is None else max(1, len(code)) for code in codes])
    tree = np.repeat(np.arange(len(layout.depth)), np.diff(layout.begin))
    node = np.repeat(np.arange(len(chain)), chain)
    step = np.arange(len(node)) - np.repeat(np.cumsum(chain) - chain, chain)
    # The first node of a chain keeps the number in the tree; further ones are numbered behind all others.
    own = np.arange(len(chain)) - layout.begin[:-1][tree]
    extra = np.cumsum(chain - 1) - (chain - 1)
    before = np.concatenate([[0], np.cumsum(np.bincount(tree, weights=chain - 1).astype(np.int64))])[:-1]
    size = np.diff(layout.begin)
    behind = size[tree] + extra - before[tree]
    number = np.where(step == 0, own[node], behind[node] + step - 1)
    first = own + layout.delta
    last = step == chain[node] - 1
    inner = layout.delta > 0
    source = layout.node[node]
    asks = np.array([code is not None for code in codes])[node]
    listed = [float(c) for code in codes for c in (code if code is not None and len(code) else [-1.0])]
    return {
        "node": node,
        "number": number,
        "feature": np.where(inner[node], forest.feature[source], 0),
        "mode": np.where(~inner[node], LEAF, np.where(asks, EQ, LEQ)),
        "value": np.where(asks, np.array(listed), np.where(inner[node], forest.threshold[source], 0.0)),
        "true": np.where(inner[node], first[node], 0),
        "false": np.where(~inner[node], 0, np.where(last, first[node] + 1, behind[node] + step)),
        "missing": (forest.missing_left[source] & inner[node]).astype(np.int64),
    }


def _codes(forest: Forest, node: int, columns: Sequence[Column]) -> list[int] | None:
    """Return the codes that a node sends left, None where it asks for no set."""
    if forest.feature[node] < 0 or forest.category[node] < 0:
        return None
    start, words = int(forest.category[node]), int(forest.words[node])
    inside = np.unpackbits(forest.bits[start : start + words].astype("<u4").view(np.uint8), bitorder="little")
    feature = int(forest.feature[node])
    most = columns[feature].categories if feature < len(columns) else 0
    found: list[int] = np.flatnonzero(inside[:most] if most else inside).tolist()
    return found
