"""The compiled kernel where it is built, numpy where it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from automl.predictor.compiled import COMPILED, kernel
from automl.predictor.plain import PlainProgram
from automl.predictor.program import LINK_CODES
from automl_core import Arithmetic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.predictor.program import Program
    from automl_core import Network

__all__ = ["COMPILED", "Run", "Runnable", "load_network", "load_program", "pack"]

Run: TypeAlias = "Callable[[NDArray[np.float32], NDArray[np.float64]], None]"
ACTIVATIONS = {"relu": 0, "selu": 1, "mish": 2}


class Runnable(Protocol):
    """Evaluates a program."""

    def predict(self, values: NDArray[np.float32], out: NDArray[np.float64], /) -> None:
        """Write predictions of C-contiguous float32 rows (rows, inputs) to `out`, of rows * outputs float64."""
        ...


def load_program(program: Program, *, compiled: bool = COMPILED) -> Runnable:
    """Return what evaluates a program; `compiled` False is for tests of numpy's way."""
    packed = pack(program) if compiled and kernel is not None else None
    return PlainProgram(program) if packed is None else packed


def load_network(network: Network, *, compiled: bool = COMPILED) -> Run | None:
    """Return what writes a checked network's predictions of C-contiguous float32 rows to float64 (rows[, outputs])."""
    if not compiled or kernel is None:
        return None
    layers = [x.ravel() for pair in zip(network.weights, network.biases, strict=True) for x in pair]
    sizes = np.array([len(network.weights[0]), *(len(bias) for bias in network.biases)], dtype=np.int64)
    arrays = (
        network.source, network.center, network.factor, network.flags, network.frequency, network.phase, network.categories,
        network.start, network.width, network.levels, network.table, network.base, np.concatenate(layers), sizes,
    )  # fmt: skip
    run: Run = kernel.Network(
        network.columns, ACTIVATIONS[network.activation], LINK_CODES[network.link], network.frequency.shape[1], network.low,
        network.high, network.scale, tuple(np.ascontiguousarray(array) for array in arrays),
    ).predict  # fmt: skip
    return run


def pack(program: Program) -> Any:
    """Return the kernel's form of a program; None where a node does not fit into two words."""
    shift = max(int(len(program.columns.fills) - 1).bit_length(), 1)
    if int(program.delta.max(initial=0)) >= 1 << (32 - shift) or len(program.value) >= 1 << 32:
        return None
    nodes = np.empty((len(program.value), 2), dtype=np.uint32)
    nodes[:, 0] = program.value
    np.left_shift(program.delta.view(np.uint32), np.uint32(shift), out=nodes[:, 1])
    nodes[:, 1] |= program.feature.view(np.uint32)
    lookups = program.lookups
    arrays = (
        nodes, program.sets, program.reals, program.trees, program.parts, program.part_reals, program.terms,
        program.columns.fills, lookups.rows, lookups.defaults, lookups.digits, lookups.thresholds, lookups.keys,
        lookups.values, lookups.starts, program.leaves.entries, program.leaves.spans, program.leaves.rows,
        _columns_read(program),
    )  # fmt: skip
    whole = tuple(np.ascontiguousarray(array) for array in arrays)
    return kernel.Program(program.inputs, program.outputs, shift, program.columns.first_set, program.temperature, whole)


def _columns_read(program: Program) -> NDArray[np.int32]:
    """Return the encoded columns that the block or a derived column reads."""
    read = np.zeros(program.inputs + len(program.derived) + 1, dtype=np.bool_)
    read[program.columns.fills[:, 1]] = True
    read[program.lookups.digits[:, 0]] = True
    for item in program.derived:
        if isinstance(item, Arithmetic):
            read[[item.left, item.right]] = True
    return np.flatnonzero(read[: program.inputs]).astype(np.int32)
