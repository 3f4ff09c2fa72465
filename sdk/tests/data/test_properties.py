"""Any table is either learned from or refused with an AutoMLError, and all ways into the encoder agree."""

from __future__ import annotations

import datetime as dt
import json
from contextlib import suppress
from decimal import Decimal

import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from automl.encoder import Encoder
from automl.schema import Schema, describe
from automl.table import open_table
from automl.target import TargetCoder, code_target
from automl_core import AutoMLError

ROWS = 6
SCALARS = {
    "floats": st.floats() | st.floats(width=32),
    "whole": st.integers(-(2**70), 2**70),
    "small": st.integers(0, 2),
    "truths": st.booleans(),
    "words": st.sampled_from(["a", "b", "", "NA", "true", "1", "1.0", "Ä"]),
    "strings": st.text(max_size=8),
    "sentences": st.lists(st.sampled_from(["red", "blue", "Big", "7"]), min_size=4, max_size=8).map(" ".join),
    "numerals": st.floats(-1e6, 1e6).map(str) | st.sampled_from(["?", " 3 ", "nan", "inf", "1e400", "٣"]),
    "dates": st.dates(),
    "datetimes": st.datetimes(timezones=st.none() | st.just(dt.UTC)),
    "date words": st.datetimes().map(str) | st.just("2020-02-30"),
    "decimals": st.decimals(-1000, 1000, places=2),
    "durations": st.timedeltas(dt.timedelta(-1000), dt.timedelta(1000)),
    "times": st.times(),
    "bytes": st.binary(max_size=3),
    "lists": st.lists(st.integers(0, 3), max_size=2),
    "dicts": st.fixed_dictionaries({"k": st.integers(0, 3)}),
    "none": st.none(),
}
MIXED = st.one_of(*(SCALARS[name] for name in ("floats", "whole", "truths", "words", "dates", "decimals")))
ONE_KIND = st.sampled_from(sorted(SCALARS)).flatmap(
    lambda name: st.lists(SCALARS[name] | st.none(), min_size=ROWS, max_size=ROWS)
)
COLUMNS = ONE_KIND | st.lists(MIXED | st.none() | SCALARS["lists"], min_size=ROWS, max_size=ROWS)
NAMES = st.text(min_size=1, max_size=3) | st.sampled_from(["a", "b"])
TABLES = st.dictionaries(NAMES, COLUMNS, min_size=1, max_size=4)
PATIENT = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def learn(columns):
    """Return the table and its encoder, or None where the data is refused as it should be."""
    try:
        table = open_table(columns)
        schema = describe(table)
        assert Schema.from_json(json.loads(json.dumps(schema.to_json(), allow_nan=False))) == schema
        return table, Encoder.fit(table, schema)
    except AutoMLError:
        return None


@PATIENT
@given(TABLES)
def test_all_ways_into_the_encoder_agree(columns):
    learned = learn(columns)
    assume(learned is not None)
    table, encoder = learned
    expected = encoder.encode(table)
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    assert np.isfinite(expected[~np.isnan(expected)]).all()
    np.testing.assert_array_equal(encoder.encode(columns), expected)
    np.testing.assert_array_equal(encoder.encode(rows), expected)
    np.testing.assert_array_equal(np.concatenate([encoder.encode(row) for row in rows]), expected)
    state, arrays = encoder.state()
    np.testing.assert_array_equal(Encoder.from_state(json.loads(json.dumps(state)), arrays).encode(rows), expected)
    for place, column in enumerate(encoder.columns):
        if column.categorical:
            codes = expected[:, place]
            assert set(codes[~np.isnan(codes)].tolist()) <= set(range(column.categories))


@PATIENT
@given(TABLES, TABLES)
def test_other_data_is_encoded_or_refused(columns, others):
    learned = learn(columns)
    assume(learned is not None)
    encoder = learned[1]
    names = [*columns, *others]
    other = dict(zip(names, others.values(), strict=False))
    for data in (other, [dict(zip(other, values, strict=True)) for values in zip(*other.values(), strict=True)]):
        try:
            encoded = encoder.encode(data, strict=False)
        except AutoMLError:
            continue
        assert encoded.shape == (ROWS, len(encoder.columns))
        assert not np.isinf(encoded).any()


@PATIENT
@given(COLUMNS, st.sampled_from([None, "binary", "multiclass", "regression"]))
def test_any_target_is_coded_or_refused(values, task):
    try:
        table = open_table({"y": values})
        coder, codes, kept = code_target(table, "y", task=task)
    except AutoMLError:
        return
    rows = np.ones(ROWS, dtype=bool) if kept is None else kept
    assert np.isfinite(codes).all()
    assert len(codes) == rows.sum()
    again = TargetCoder.from_json(json.loads(json.dumps(coder.to_json(), allow_nan=False)))
    assert again == coder
    np.testing.assert_array_equal(again.encode(table["y"].filter(pa.array(rows))), codes)
    if coder.classes:
        assert codes.max() == len(coder.classes) - 1


@PATIENT
@given(st.binary(max_size=60) | st.text(alphabet='a1,;"\n\r\t .-é', max_size=60).map(str.encode))
def test_any_bytes_are_a_table_or_refused(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("any")
    for suffix in ("csv", "jsonl", "parquet", "arrow", "csv.gz"):
        path = folder / f"table.{suffix}"
        path.write_bytes(content)
        with suppress(AutoMLError):
            assert open_table(path).num_rows > 0


def test_decimals_are_alike_in_rows_and_tables():
    columns = {"a": [Decimal("0.1"), Decimal("123456789.123456789"), None]}
    table = open_table(columns)
    encoder = Encoder.fit(table, describe(table))
    np.testing.assert_array_equal(encoder.encode(columns), encoder.encode(pa.table(columns)))
