"""The compiled kernel where it is built, numpy where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from automl.predictor.plain import PlainProgram

try:
    from automl.predictor import _kernel  # type: ignore[attr-defined,unused-ignore]
except ImportError:  # built without a compiler
    _kernel = None

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.predictor.program import Program

__all__ = ["COMPILED", "Runnable", "load_program", "pack"]

COMPILED = _kernel is not None


class Runnable(Protocol):
    """Evaluates a program."""

    def predict(self, values: NDArray[np.float32], out: NDArray[np.float64], /) -> None:
        """Write predictions of C-contiguous float32 rows (rows, inputs) to `out`, of rows * outputs float64."""
        ...


def load_program(program: Program, *, compiled: bool = COMPILED) -> Runnable:
    """Return what evaluates a program; `compiled` False is for tests of numpy's way."""
    packed = pack(program) if compiled and _kernel is not None else None
    return PlainProgram(program) if packed is None else packed


def pack(program: Program) -> _kernel.Program | None:
    """Return the kernel's form of a program; None where a node does not fit into two words."""
    shift = max(int(len(program.columns.fills) - 1).bit_length(), 1)
    if int(program.delta.max(initial=0)) >= 1 << (32 - shift) or len(program.value) >= 1 << 32:
        return None
    nodes = np.empty((len(program.value), 2), dtype=np.uint32)
    nodes[:, 0] = program.value
    nodes[:, 1] = program.feature.astype(np.uint32) | program.delta.astype(np.uint32) << np.uint32(shift)
    lookups = program.lookups
    arrays = (
        nodes, program.sets, program.reals, program.trees, program.parts, program.part_reals, program.terms,
        program.columns.fills, lookups.rows, lookups.defaults, lookups.digits, lookups.thresholds, lookups.keys,
        lookups.values, lookups.starts, program.leaves.entries, program.leaves.spans, program.leaves.rows,
    )  # fmt: skip
    whole = tuple(np.ascontiguousarray(array) for array in arrays)
    return _kernel.Program(
        program.inputs, program.outputs, shift, program.columns.first_set, program.temperature, whole
    )
