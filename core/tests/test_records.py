from __future__ import annotations

import json
import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_core import Event, Fold, Study, Trial, TrialState, decode, encode

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
STUDY = Study("s", "binary", "auc", 10, 2, 0, 5, classes=("no", "yes"), learners=("a", "b"), settings={"x": [1, "y"]})
TRIAL = Trial(3, "a", {"x": 1}, state=TrialState.PRUNED, loss=0.5, fold_losses=(0.25, None, 0.75))
RECORDS = [STUDY, TRIAL, Fold(1, 2, None, 0.5), Event("e", 1.0)]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_record_comes_back(record: Study | Trial | Fold | Event) -> None:
    assert decode(encode(record)) == record
    assert pickle.loads(pickle.dumps(record)) == record


@given(st.dictionaries(st.text(), scalars))
def test_parameters_come_back_with_their_types(params: dict[str, bool | int | float | str | None]) -> None:
    trial = decode(encode(Trial(0, "a", params)))
    assert isinstance(trial, Trial)
    assert trial.params == params
    assert {key: type(value) for key, value in trial.params.items()} == {key: type(v) for key, v in params.items()}


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_number_that_is_not_finite_becomes_none(loss: float) -> None:
    trial = decode(encode(Trial(0, "a", {}, loss=loss)))
    assert isinstance(trial, Trial)
    assert trial.loss is None


def test_record_is_one_line() -> None:
    assert b"\n" not in encode(Trial(0, "a", {"text": "two\nlines"}))


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"null", b'{"record":"Other"}', encode(STUDY)[:-5]])
def test_what_is_no_record_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):
        decode(line)


def test_newer_format_is_refused() -> None:
    body = {**json.loads(encode(Event("e", 1.0))), "v": 99}
    with pytest.raises(ValueError, match="upgrade automl-core"):
        decode(json.dumps(body).encode())


def test_field_of_a_newer_version_is_ignored() -> None:
    body = {**json.loads(encode(Event("e", 1.0))), "colour": "red"}
    assert decode(json.dumps(body).encode()) == Event("e", 1.0)
