"""Random flat models: every feature of the format at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from automl_core import Additive, Arithmetic, Forest, Lookup

CODES = 70  # columns with a number of 1 modulo 3 are categories with so many codes
GOLDEN = 0x9E3779B97F4A7C15


def is_category(column: int) -> bool:
    return column % 3 == 1


def random_rows(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Whole and half numbers, so that thresholds are hit; a tenth missing; codes up to beyond every set."""
    values = rng.integers(-6, 7, (rows, columns)) / 2
    for column in filter(is_category, range(columns)):
        values[:, column] = rng.integers(0, CODES + 200, rows)
    values[rng.random((rows, columns)) < 0.1] = np.nan
    return np.ascontiguousarray(values, dtype=np.float32)


def random_derived(rng: np.random.Generator, columns: int) -> tuple[Any, ...]:
    codes = np.arange(CODES, dtype=np.uint64)
    with np.errstate(over="ignore"):
        keys = (codes + np.uint64(1)) * np.uint64(GOLDEN)
    keys = np.unique(keys ^ (keys >> np.uint64(32)))
    one = Lookup(
        source=np.array([1], np.int32), threshold=np.array([np.nan], np.float32), equal=np.zeros(1, bool), keys=keys,
        values=rng.normal(size=len(keys)).astype(np.float32), default=0.25,
    )  # fmt: skip
    digits = [0, 1, 2, 3, 0xFFFFFFFF]
    crossed = sorted({_key((a, b, c)) for a in digits for b in (0, 1) for c in (0, 1)})
    cross = Lookup(
        source=np.array([1, 0, 2], np.int32), threshold=np.array([np.nan, 0.5, 1.0], np.float32),
        equal=np.array([False, False, True]), keys=np.array(crossed, np.uint64),
        values=rng.normal(size=len(crossed)).astype(np.float32), default=-0.5,
    )  # fmt: skip
    return one, Arithmetic(str(rng.choice(list("+-*/"))), 0, 2), cross


def _key(digits: tuple[int, ...]) -> int:
    key, mask = 0, (1 << 64) - 1
    for digit in digits:
        key = ((key ^ (digit + 1)) * GOLDEN) & mask
        key ^= key >> 32
    return key


def random_forest(
    rng: np.random.Generator,
    *,
    columns: int = 6,
    trees: int = 9,
    leaves: int = 20,
    outputs: int = 1,
    width: int = 1,
    link: str = "identity",
    derived: bool = True,
    oblivious: bool = False,
    sets: bool = True,
) -> Forest:
    """Grow trees of random questions; leaves are split at random, so that some trees are deep."""
    extra = random_derived(rng, columns) if derived else ()
    nodes: list[list[float]] = []  # feature, threshold, left, right, missing_left, category, words, cover
    bits: list[int] = []
    roots, first = [], []
    for _ in range(trees):
        roots.append(len(nodes))
        first.append(int(rng.integers(0, outputs - width + 1)) if width < outputs else 0)
        questions = [_question(rng, columns, len(extra), bits, sets) for _ in range(4)] if oblivious else []
        frontier = [(len(nodes), 0)]
        nodes.append(_leaf(rng, 100.0))
        while frontier and len(nodes) - roots[-1] < 2 * leaves - 1:
            at, depth = frontier.pop(0 if oblivious else int(rng.integers(len(frontier))))
            if oblivious and depth == len(questions):
                continue
            asked = questions[depth] if oblivious else _question(rng, columns, len(extra), bits, sets)
            cover, share = nodes[at][7], float(rng.uniform(0.1, 0.9))
            left, right = len(nodes), len(nodes) + 1
            if rng.random() < 0.5 and not oblivious:
                left, right = right, left
            nodes.append(_leaf(rng, cover * (share if left < right else 1 - share)))
            nodes.append(_leaf(rng, cover * (1 - share if left < right else share)))
            nodes[at] = [asked[0], asked[1], left, right, *asked[2:], cover]
            frontier += [(len(nodes) - 2, depth + 1), (len(nodes) - 1, depth + 1)]
    table = np.array(nodes, dtype=np.float64)
    feature = table[:, 0].astype(np.int32)
    return Forest(
        columns=columns,
        feature=feature,
        threshold=table[:, 1].astype(np.float32),
        left=table[:, 2].astype(np.int32),
        right=table[:, 3].astype(np.int32),
        missing_left=table[:, 4].astype(bool),
        category=table[:, 5].astype(np.int32),
        words=table[:, 6].astype(np.int32),
        bits=np.array(bits, dtype=np.uint32),
        values=np.abs(rng.normal(size=(50, width))) if link == "probability" else rng.normal(size=(50, width)),
        roots=np.array(roots, dtype=np.int32),
        output=np.array(first, dtype=np.int32),
        base=np.full(outputs, 0.1),
        link=link,
        scale=float(rng.uniform(0.05, 0.3)),
        derived=extra,
        cover=table[:, 7].astype(np.float32),
        gain=np.where(feature >= 0, rng.random(len(feature)), 0).astype(np.float32),
    )


def _question(rng: np.random.Generator, columns: int, extra: int, bits: list[int], sets: bool) -> list[float]:
    feature = int(rng.integers(columns + extra))
    missing_left = float(rng.integers(2))
    if not (feature < columns and is_category(feature)):
        return [feature, float(rng.integers(-6, 7)) / 2, missing_left, -1, 0]
    if not sets:
        return [feature, float(rng.integers(CODES)), missing_left, -1, 0]
    words, start = int(rng.integers(0, 4)), len(bits)
    bits += rng.integers(0, 1 << 32, words).tolist()
    return [feature, 0.0, missing_left, start, words]


def _leaf(rng: np.random.Generator, cover: float) -> list[float]:
    return [-1, 0.0, int(rng.integers(50)), 0, 0, -1, 0, cover]


def random_additive(
    rng: np.random.Generator, *, columns: int = 6, outputs: int = 1, link: str = "identity", derived: bool = True
) -> Additive:
    extra = random_derived(rng, columns) if derived else ()
    wide = columns + len(extra)
    start = np.array([200 * c if c < columns and is_category(c) else -1 for c in range(wide)], dtype=np.int32)
    weight, missing = rng.normal(size=(wide, outputs)), rng.normal(size=(wide, outputs))
    weight[0] = missing[0] = 0
    return Additive(
        columns=columns, weight=weight, missing=missing, low=np.full(wide, -2.0), high=np.full(wide, np.inf),
        table=rng.normal(size=(200 * wide + 300, outputs)), table_start=start, base=rng.normal(size=outputs), link=link,
        scale=0.5, derived=extra,
    )  # fmt: skip


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def make_forest() -> Callable[..., Forest]:
    return random_forest


@pytest.fixture
def make_additive() -> Callable[..., Additive]:
    return random_additive


@pytest.fixture
def make_rows() -> Callable[..., np.ndarray]:
    return random_rows


def make_table(rows: int = 200) -> Any:
    import pyarrow as pa

    rng = np.random.default_rng(5)
    colours = rng.choice(["red", "green", "blue", None], rows)
    return pa.table(
        {
            "size": rng.normal(size=rows).round(2),
            "colour": pa.array(colours.tolist()),
            "day": pa.array(np.datetime64("2024-01-01") + rng.integers(0, 400, rows)),
            "count": rng.integers(0, 9, rows),
        }
    )


def make_model(kind: str = "binary", **changes: Any) -> Any:
    """A model of random members over a real encoder; "binary", "multiclass", "regression" or "opaque"."""
    from automl.encoder import Encoder
    from automl.model import Model
    from automl.predictor import Opaque, Part, Predictor
    from automl.schema import describe

    rng, table = np.random.default_rng(11), make_table()
    schema = describe(table)
    encoder = Encoder.fit(table, schema)
    columns = len(encoder.columns)
    classes: list[Any] = {"binary": ["no", "yes"], "multiclass": [1, 2, 5], "regression": [], "opaque": []}[kind]
    link, outputs = {"binary": ("sigmoid", 1), "multiclass": ("softmax", 3)}.get(kind, ("identity", 1))
    flats = [
        random_forest(rng, columns=columns, link=link, outputs=outputs),
        random_forest(rng, columns=columns, link=link, outputs=outputs, oblivious=True, leaves=16),
        random_additive(rng, columns=columns, link=link, outputs=outputs),
    ]
    weights = (0.5, 0.3, 0.2) if kind != "opaque" else (0.25, 0.15, 0.1)
    opaque = [Opaque("none", None, FirstColumn(), np.array([1, 0], np.int32), (), 0.5)] if kind == "opaque" else []
    parts = [Part(flat, weight) for flat, weight in zip(flats, weights, strict=True)]
    arguments = {
        "task": "regression" if kind == "opaque" else kind, "schema": schema, "classes": classes, "target": "y",
        "metric": "log_loss", "leaderboard": [{"rank": 0, "name": "ensemble", "score": 0.5, "loss": float("nan")}],
        "info": {"rows": 200}, **changes,
    }  # fmt: skip
    return Model(encoder, Predictor(parts, opaque, classes=len(classes), temperature=1.2), **arguments)


class FirstColumn:
    """A model without a flat form."""

    rounds = None

    def predict(self, values: np.ndarray) -> np.ndarray:
        return np.nan_to_num(values[:, 0].astype(np.float64))


@pytest.fixture(name="make_model")
def _make_model() -> Callable[..., Any]:
    return make_model


@pytest.fixture(name="make_table")
def _make_table() -> Callable[..., Any]:
    return make_table
