from __future__ import annotations

import json
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from automl.table import open_table
from automl.target import TargetCoder, code_target
from automl_core import DataError, SettingsError


def code(values, task=None):
    return code_target(open_table({"y": values}), "y", task=task)


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        ([True, False], "binary", (False, True)),
        (["b", "a", "b"], "binary", ("a", "b")),
        (["b", "a", "c"], "multiclass", ("a", "b", "c")),
        ([1, 0, 0], "binary", (0, 1)),
        ([1.5, 0.5], "binary", (0.5, 1.5)),
        ([3, 1, 2] * 10, "multiclass", (1, 2, 3)),
        ([3.0, 1.0, 2.0] * 10, "multiclass", (1.0, 2.0, 3.0)),
        ([3, 1, 2] * 5, "regression", ()),
        (list(range(21)) * 100, "regression", ()),
        ([0.5, 1.5, 2.5] * 100, "regression", ()),
        ([float(i % 11) for i in range(1000)], "regression", ()),
        ([str(i) for i in range(30)], "regression", ()),
        (["1", "2", "3"], "multiclass", ("1", "2", "3")),
        (pa.array(["u", "v"]).dictionary_encode(), "binary", ("u", "v")),
        (["x", 1, "x"], "binary", ("1", "x")),
    ],
)
def test_the_task_is_found(values, task, classes):
    coder, codes, kept = code(values)
    assert (coder.task, coder.classes, kept) == (task, classes, None)
    assert codes.dtype == np.float64
    assert [type(label) for label in coder.classes] == [type(label) for label in classes]


def test_codes_follow_the_sorted_labels():
    assert code(["b", "a", "c", "b"])[1].tolist() == [1, 0, 2, 1]


@pytest.mark.parametrize(
    ("values", "task", "codes"),
    [
        ([3, 1, 2] * 10, "regression", [3, 1, 2] * 10),
        (["3", "1"], "regression", [3, 1]),
        ([0.5, 1.5, 2.5], "multiclass", [0, 1, 2]),
        ([1e300, 2.0], "regression", [1e300, 2.0]),
    ],
)
def test_a_named_task_wins(values, task, codes):
    coder, found, _ = code(values, task)
    assert coder.task == task
    assert found.tolist() == codes


def test_a_multiclass_task_of_two_classes_is_a_binary_one():
    assert code(["a", "b"] * 5, "multiclass")[0].task == "binary"


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        (["a", None, "b", "a"], [True, False, True, True]),
        (["a", " ", "b", "a"], [True, False, True, True]),
        ([1.5, float("nan"), 2.5, 3.25], [True, False, True, True]),
        ([*map(str, range(30)), "?"], [True] * 30 + [False]),
    ],
)
def test_rows_without_a_target_are_left_out_with_a_note(values, kept):
    coder, codes, found = code(values)
    assert found is not None
    assert found.tolist() == kept
    assert len(codes) == sum(kept)
    assert coder.notes[0] == "1 rows without a target are left out"


def test_a_class_of_one_row_is_kept_with_a_note():
    coder, codes, _ = code(["a", "a", "b", "b", "lonely"])
    assert len(codes) == 5
    assert "'lonely'" in coder.notes[0]


@pytest.mark.parametrize(
    ("values", "task", "message"),
    [
        ([None, None], None, "all values of the target 'y' are missing"),
        (["a", "a"], None, "one class only, 'a'"),
        ([1.0, float("inf"), 2.0], None, "infinite"),
        (["a", "b"], "regression", "'a' in row 0 is no number"),
        ([10**400, 1, 2], "regression", "in row 0|infinite"),
        (["a", "b", "c"], "binary", "3 classes.*binary"),
        ([f"c{i}" for i in range(1001)], None, "1001 classes.*coarser"),
        (list(range(1001)), "multiclass", "task='regression'"),
        ([[1], [2]], None, "cannot be of type list"),
        ([date(2020, 1, 1), date(2020, 1, 2)], None, "cannot be of type"),
        ([b"a", b"b"], None, "bytes"),
    ],
)
def test_a_target_that_cannot_be_learned_says_why(values, task, message):
    with pytest.raises(DataError, match=message):
        code(values, task)


def test_a_missing_target_column_gets_a_suggestion():
    table = open_table({"income": [1, 2]})
    with pytest.raises(DataError, match="Did you mean 'income'"):
        code_target(table, "incme")
    with pytest.raises(DataError, match=r"target='\.\.\.'"):
        code_target(table, None)


def test_an_unknown_task_gets_a_suggestion():
    with pytest.raises(SettingsError, match="Did you mean 'regression'"):
        code([1, 2], "regresion")


@pytest.mark.parametrize("values", [["b", None], np.array(["b", None], dtype=object), pa.array(["b", None])])
def test_later_labels_are_encoded_alike(values):
    coder = TargetCoder("y", "binary", ("a", "b"))
    np.testing.assert_array_equal(coder.encode(values), [1, np.nan])


def test_labels_match_by_their_text():
    assert TargetCoder("y", "binary", ("0", "1")).encode([1, 0.0]).tolist() == [1, 0]
    assert TargetCoder("y", "binary", (0, 1)).encode(np.array(["1", "0"])).tolist() == [1, 0]


def test_an_unknown_label_says_so():
    with pytest.raises(DataError, match=r"'z' in row 1 is none of the classes \('a', 'b'\)"):
        TargetCoder("y", "binary", ("a", "b")).encode(["a", "z"])


@pytest.mark.parametrize("values", [["a", "b", "a"], [True, False, True], [1, 2, 1], [1.5, 2.5, 1.5], [0.1, 0.2, 0.3]])
def test_a_coder_survives_json(values):
    coder = code(values)[0]
    again = TargetCoder.from_json(json.loads(json.dumps(coder.to_json())))
    assert again == coder
    assert [type(label) for label in again.classes] == [type(label) for label in coder.classes]


@pytest.mark.parametrize("body", [None, {}, {"name": "y", "task": "guess", "classes": [], "notes": []}])
def test_what_is_no_coder_says_so(body):
    with pytest.raises(DataError, match="no description of a target"):
        TargetCoder.from_json(body)
