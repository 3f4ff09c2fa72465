"""How fast rows and tables are encoded, against scikit-learn's ColumnTransformer on the same data.

Run it with `pytest -m benchmark -s tests/benchmarks/bench_encode.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")
pytest.importorskip("sklearn")

pytestmark = pytest.mark.benchmark

ROWS, NUMBERS, CATEGORIES = 200_000, 12, 8


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    columns = {f"n{i}": rng.normal(size=ROWS) for i in range(NUMBERS)}
    columns |= {f"c{i}": rng.choice([f"level{k}" for k in range(10 * (i + 1))], ROWS) for i in range(CATEGORIES)}
    return pd.DataFrame(columns)


@pytest.fixture(scope="module")
def encoder(frame):
    from automl.encoder import Encoder
    from automl.schema import describe
    from automl.table import open_table

    table = open_table(frame)
    return Encoder.fit(table, describe(table))


@pytest.fixture(scope="module")
def peer(frame):
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import OrdinalEncoder

    levels = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, dtype=np.float32)
    names = [name for name in frame if name.startswith("c")]
    return ColumnTransformer([("levels", levels, names)], remainder="passthrough").fit(frame)


def best(call: Callable[[], object], *, repeat: int) -> float:
    """Return the fastest call's seconds: other work on the machine only ever adds."""
    taken = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return min(taken)


def test_a_row(frame, encoder, peer, capsys):
    row = frame.iloc[0].to_dict()
    ours = best(lambda: encoder.encode(row), repeat=5000)
    theirs = best(lambda: peer.transform(pd.DataFrame([row])), repeat=30)
    assert encoder.encode(row).shape == (1, NUMBERS + CATEGORIES)
    with capsys.disabled():
        print(
            f"\na row of {NUMBERS + CATEGORIES} columns: {ours * 1e6:.1f} us, scikit-learn {theirs * 1e6:.0f} us",
            end="",
        )
        print(f" ({theirs / ours:.0f} times)")


@pytest.mark.parametrize("rows", [1, 16])
def test_a_small_frame(capsys, rows):
    from automl.encoder import Encoder
    from automl.schema import describe
    from automl.table import open_table

    rng = np.random.default_rng(0)
    columns = {f"n{i}": rng.normal(size=500) for i in range(40)}
    frame = pd.DataFrame(columns | {f"c{i}": rng.choice(list("abcdef"), 500) for i in range(40)})
    table = open_table(frame)
    encoder, few = Encoder.fit(table, describe(table)), frame[:rows]
    ours = best(lambda: encoder.encode(few), repeat=100)
    theirs = best(lambda: encoder.encode(open_table(few)), repeat=100)
    with capsys.disabled():
        print(f"\n{rows} rows of 80 columns in a frame: {ours * 1e3:.2f} ms, through Arrow {theirs * 1e3:.2f}", end="")
        print(f" ({theirs / ours:.1f} times)")


@pytest.mark.parametrize("kind", ["arrow", "pandas", "rows"])
def test_a_table(frame, encoder, peer, capsys, kind):
    if kind == "rows":
        frame = frame.iloc[:5000]
    data = {"arrow": pa.Table.from_pandas, "pandas": lambda f: f, "rows": lambda f: f.to_dict("records")}[kind](frame)
    ours = best(lambda: encoder.encode(data), repeat=3)
    theirs = best(lambda: peer.transform(pd.DataFrame(data) if kind == "rows" else frame), repeat=3)
    assert len(encoder.encode(data)) == len(frame)
    with capsys.disabled():
        print(f"\n{len(frame)} rows from {kind}: {len(frame) / ours:,.0f} rows/s, scikit-learn", end="")
        print(f" {len(frame) / theirs:,.0f} ({theirs / ours:.1f} times)")


def test_texts(capsys):
    from sklearn.feature_extraction.text import TfidfVectorizer

    from automl.encoder.texts import TextPart

    rng = np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(5000)])
    texts = [" ".join(words[(rng.pareto(1.0, 40) * 20).astype(int) % 5000]) for _ in range(5000)]
    start = time.perf_counter()
    part = TextPart.fit("text", pa.chunked_array([texts]))
    fit = time.perf_counter() - start
    ours = best(lambda: part.block(texts), repeat=3)
    one = best(lambda: part.block(texts[:1]), repeat=300)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit(texts)
    theirs = best(lambda: vectorizer.transform(texts), repeat=3)
    with capsys.disabled():
        print(f"\n5000 texts of 40 words: fit {fit:.2f} s, encode {ours:.2f} s, one text {one * 1e6:.0f} us;", end="")
        print(f" scikit-learn's TF-IDF alone {theirs:.2f} s ({theirs / ours:.1f} times)")
