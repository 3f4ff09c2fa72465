"""The target: which task it poses, and its values as float64 codes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl.scalars import as_number, as_text, is_missing
from automl_core import BINARY, MULTICLASS, REGRESSION, TASKS, DataError, SettingsError, did_you_mean

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["MAX_CLASSES", "Label", "TargetCoder", "code_target"]

Label = str | int | float | bool
MAX_CLASSES = 1000
# As AutoGluon decides: whole numbers are classes if they are few, and few for the number of rows.
FEW_CLASSES, FEW_FLOAT_CLASSES = 20, 10
CLASS_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class TargetCoder:
    """Turns a target into codes, and codes into labels.

    Attributes:
        name: of the target's column. task: "binary", "multiclass" or "regression".
        classes: labels in their own type, sorted, in the order of the codes; empty for regression.
        notes: what a reader should know about the target: rows left out, classes of one row.
    """

    name: str
    task: str
    classes: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()

    def encode(self, values: Any) -> NDArray[np.float64]:
        """Return codes, or numbers for regression; shape (rows,), NaN where the target is missing.

        Args:
            values: an Arrow column, an array, a series or a list.

        Raises:
            DataError: a label is none of the classes, or not a number.
        """
        column = _to_list(values)
        if self.task == REGRESSION:
            return _numbers(self.name, column)
        codes = {label: float(code) for code, label in enumerate(self.classes)}
        by_text = {as_text(label): float(code) for code, label in enumerate(self.classes)}
        result = np.empty(len(column))
        for row, value in enumerate(column):
            try:
                code = codes.get(value)
                if code is None:
                    code = math.nan if is_missing(value) else by_text[as_text(value)]
            except (KeyError, TypeError) as error:
                known = ", ".join(map(repr, self.classes[:10]))
                raise DataError(
                    f"target {self.name!r}: {value!r} in row {row} is none of the classes ({known})."
                ) from error
            result[row] = code
        return result

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "task": self.task, "classes": list(self.classes), "notes": list(self.notes)}

    @classmethod
    def from_json(cls, body: Any) -> TargetCoder:
        """Return what `to_json` wrote.

        Raises:
            DataError: it is no such thing.
        """
        try:
            coder = cls(str(body["name"]), body["task"], tuple(body["classes"]), tuple(body["notes"]))
        except (KeyError, TypeError) as error:
            raise DataError(f"this is no description of a target: {error!r}.") from error
        if coder.task not in TASKS or not all(isinstance(label, str | int | float) for label in coder.classes):
            raise DataError("this is no description of a target: its task or labels are of no known kind.")
        return coder


def code_target(
    table: pa.Table, target: str | None, *, task: str | None = None
) -> tuple[TargetCoder, NDArray[np.float64], NDArray[np.bool_] | None]:
    """Decide the task and encode the target.

    Strings, truths and categories are classes; so are two different numbers, and whole numbers that are few (at most 20,
    as floats 10) and few for the number of rows (at most a tenth); other numbers are a regression. Strings that are all
    numbers, of more than 20 different values, are a regression, too.

    Returns:
        the coder; float64 codes of the rows that have a target; which rows of the table these are, None for all.

    Raises:
        DataError: the target is not in the table, has no values or one class, more than 1,000 classes, infinite values, or
            does not suit the task.
        SettingsError: the task has no known name.
    """
    if task is not None and task not in TASKS:
        raise SettingsError(
            f"there is no task {task!r}; it is one of {', '.join(sorted(TASKS))}.{did_you_mean(task, TASKS)}"
        )
    if target is None:
        raise DataError(
            f"name the column to predict: target='...', one of {', '.join(map(repr, table.column_names[:10]))}."
        )
    if target not in table.column_names:
        raise DataError(f"the table has no column {target!r} to predict.{did_you_mean(target, table.column_names)}")
    kept = _has_target(table[target])
    present = _to_list(table[target].filter(kept) if not kept.all() else table[target])
    if not present:
        raise DataError(f"all values of the target {target!r} are missing.")
    labels = _labels(target, present)
    found = task or _infer(labels, len(present))
    if found == REGRESSION:
        codes = _numbers(target, present)
        kept[kept] = ~np.isnan(codes)  # words for missing among numbers that are kept as text
        codes = codes[~np.isnan(codes)]
        notes: list[str] = []
    else:
        _check_classes(target, labels, found, named=task is not None)
        if len(labels) == 2:
            found = BINARY  # a multiclass task of two classes is one, and its models have one output
        codes = TargetCoder(target, found, tuple(labels)).encode(present)
        notes = _note_rare(labels, codes)
    if not kept.all():
        notes.insert(0, f"{int((~kept).sum())} rows without a target are left out")
    coder = TargetCoder(target, found, () if found == REGRESSION else tuple(labels), tuple(notes))
    return coder, codes, None if kept.all() else kept


def _has_target(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
    missing = pc.is_null(plain, nan_is_null=True)
    if pa.types.is_string(plain.type) or pa.types.is_large_string(plain.type):
        missing = pc.or_(missing, pc.fill_null(pc.equal(pc.utf8_trim_whitespace(plain), ""), True))
    has: NDArray[np.bool_] = ~missing.to_numpy()
    return has


def _to_list(values: Any) -> list[Any]:
    if hasattr(values, "to_pylist"):
        import pyarrow as pa

        if pa.types.is_nested(values.type) or pa.types.is_temporal(values.type):
            raise DataError(f"a target cannot be of type {values.type}: make it numbers or labels.")
        result: list[Any] = values.to_pylist()
        return result
    array = np.asarray(values) if hasattr(values, "__array__") else None
    if array is None:
        return list(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"a target must have one dimension, not shape {array.shape}.")
    as_list: list[Any] = array.tolist()
    return as_list


def _labels(name: str, values: Sequence[Any]) -> list[Label]:
    """Return the different labels, sorted."""
    different = set(values)
    if any(isinstance(value, bytes) for value in different):
        raise DataError(f"the target {name!r} holds bytes: decode them to text.")
    if any(isinstance(value, float) and math.isinf(value) for value in different):
        raise DataError(f"the target {name!r} holds infinite values: remove those rows, or clip them.")
    numbers = all(isinstance(value, bool | int | float) for value in different)
    truths = all(isinstance(value, bool) for value in different)
    if numbers and (truths or not any(isinstance(value, bool) for value in different)):
        return sorted(different)
    return sorted({as_text(value) for value in different})


def _infer(labels: Sequence[Label], rows: int) -> str:
    count = len(labels)
    if count <= 2:
        return BINARY
    if isinstance(labels[0], str):
        return REGRESSION if count > FEW_CLASSES and _all_numbers(labels) else MULTICLASS
    whole = all(float(label).is_integer() for label in labels)
    few = FEW_CLASSES if all(isinstance(label, int) for label in labels) else FEW_FLOAT_CLASSES
    return MULTICLASS if whole and count <= few and count <= CLASS_SHARE * rows else REGRESSION


def _all_numbers(labels: Sequence[Label]) -> bool:
    try:
        return all(not math.isinf(as_number(label)) for label in labels)
    except ValueError:
        return False


def _check_classes(name: str, labels: Sequence[Label], task: str, *, named: bool) -> None:
    if len(labels) == 1:
        raise DataError(f"the target {name!r} has one class only, {labels[0]!r}: there is nothing to learn.")
    if task == BINARY and len(labels) > 2:
        shown = ", ".join(map(repr, labels[:5]))
        raise DataError(f"the target {name!r} has {len(labels)} classes ({shown}, ...), but the task is binary.")
    if len(labels) > MAX_CLASSES:
        way_out = "task='regression'" if named and not isinstance(labels[0], str) else "fewer, coarser classes"
        raise DataError(f"the target {name!r} has {len(labels)} classes, more than {MAX_CLASSES}: use {way_out}.")


def _note_rare(labels: Sequence[Label], codes: NDArray[np.float64]) -> list[str]:
    counts = np.bincount(codes.astype(np.int64), minlength=len(labels))
    alone = [repr(label) for label, count in zip(labels, counts.tolist(), strict=True) if count == 1]
    if not alone:
        return []
    return [f"classes of one row, which cannot be validated: {', '.join(alone[:10])}{', ...' * (len(alone) > 10)}"]


def _numbers(name: str, values: Sequence[Any]) -> NDArray[np.float64]:
    result = np.empty(len(values))
    for row, value in enumerate(values):
        try:
            result[row] = value if type(value) is float else _number(value)
        except (TypeError, ValueError, OverflowError) as error:
            reason = f"{value!r} in row {row} is no number"
            raise DataError(f"the target {name!r} does not suit a regression: {reason}.") from error
    if np.isinf(result).any():
        raise DataError(f"the target {name!r} holds infinite values: remove those rows, or clip them.")
    return result


def _number(value: Any) -> float:
    # Not clipped to float32's range as inputs are: a target keeps its full value.
    return float(value) if isinstance(value, int | float) else as_number(value)
