from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.dates import MISSING, calendar, calendar_column, date_micros, parse_date, to_micros, to_micros_column

EAST = timezone(timedelta(hours=2))


@given(st.datetimes())
def test_the_calendar_is_pythons(moment):
    micros = date_micros(moment)
    expected = (moment.year, moment.month, moment.day, moment.weekday(), moment.hour, moment.timetuple().tm_yday)
    assert calendar(micros) == expected
    assert tuple(calendar_column(np.array([micros]))[0]) == expected


@given(st.datetimes())
def test_all_ways_to_say_an_instant_agree(moment):
    micros = date_micros(moment)
    assert date_micros(moment.replace(tzinfo=UTC)) == micros
    assert date_micros(moment.isoformat()) == micros
    assert date_micros(np.datetime64(moment)) == micros
    assert to_micros_column(pa.array([moment], type=pa.timestamp("us")))[0] == micros


@pytest.mark.parametrize(
    ("value", "same"),
    [
        (date(2020, 2, 29), "2020-02-29"),
        (datetime(2020, 1, 1, 1, tzinfo=EAST), "2019-12-31T23:00:00"),
        ("2020-01-01T01:00:00+02:00", "2019-12-31T23:00:00"),
        (" 2020-01-01T00:00:00Z ", "2020-01-01"),
        (np.datetime64("2020-03"), "2020-03-01"),
        (np.datetime64("1969-12-31T23:59:59.999999999"), "1969-12-31T23:59:59.999999"),
    ],
)
def test_dates_of_several_kinds_are_read(value, same):
    assert date_micros(value) == date_micros(same) != MISSING


@pytest.mark.parametrize(
    "value",
    [None, float("nan"), np.datetime64("NaT"), "", "soon", "2020-13-01", "12:30", datetime(1, 1, 1, tzinfo=EAST)],
)
def test_what_is_no_date_is_missing(value):
    assert date_micros(value) == MISSING


def test_pandas_values_are_read():
    pd = pytest.importorskip("pandas")
    assert date_micros(pd.Timestamp("2020-01-01 00:00:00.000001999")) == parse_date("2020-01-01T00:00:00.000001")
    assert date_micros(pd.NaT) == date_micros(pd.NA) == MISSING


@pytest.mark.parametrize("value", [3, 2.5, True, [1], b"2020-01-01"])
def test_a_value_of_another_type_is_an_error(value):
    with pytest.raises(TypeError, match="expects a date"):
        date_micros(value)


@pytest.mark.parametrize("unit", ["D", "s", "ms", "us"])
def test_instants_out_of_range_are_missing(unit):
    extremes = np.array([2**62, -(2**62), MISSING, 0])
    assert to_micros(extremes, unit).tolist() == [MISSING, MISSING, MISSING, 0]


def test_a_column_of_date64_is_read():
    assert to_micros_column(pa.array([date(2020, 1, 1), None], type=pa.date64())).tolist() == [
        parse_date("2020-01-01"),
        MISSING,
    ]
