"""Fitted models as flat arrays: what survives without the library that trained them.

A model that implements `automl_core.Exports` returns one of these. Each is a function from one encoded row (float32,
NaN is missing, categories as codes) to `outputs` numbers:

    raw[o] = base[o] + scale * (sum of what the parts add to o)        prediction = link(raw)

Links: "identity" (regression, raw[0]); "sigmoid" (binary, one output: P(class 1) = 1 / (1 + exp(-raw)));
"softmax" (one output per class); "probability" (outputs are already probabilities, one per class; clipped at
0 and divided by their sum); "exp" (regression of a logarithm: exp(raw[0])).

A flat model may read derived columns besides the encoded ones: column number `columns + i` is `derived[i]`, a
function of encoded columns alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "ACTIVATIONS",
    "LINKS",
    "OPERATORS",
    "Additive",
    "Arithmetic",
    "Derived",
    "Flat",
    "Forest",
    "Lookup",
    "Network",
]

LINKS = frozenset({"identity", "sigmoid", "softmax", "probability", "exp"})
OPERATORS = frozenset({"+", "-", "*", "/"})
ACTIVATIONS = frozenset({"selu", "mish", "relu"})


@dataclass(frozen=True, slots=True, eq=False)
class Lookup:
    """A derived column that is looked up by one or more encoded columns (target statistics, counts, crosses).

    Each source column j gives a whole number, its digit:

    - `threshold[j]` is NaN: the column is a category; its code, or 0xFFFFFFFF where it is missing;
    - else 1 where value > threshold[j] as float32, else 0 (so also where it is missing), or, where `equal[j]`,
      1 where value == threshold[j].

    The digits make a key in 64-bit arithmetic that wraps around:

        key = 0;  for digit in digits:  key = (key ^ (digit + 1)) * 0x9E3779B97F4A7C15;  key ^= key >> 32

    Attributes:
        source: int32 (k,). threshold: float32 (k,). equal: bool (k,).
        keys: uint64 (n,), sorted, distinct. values: float32 (n,). default: for a key that is not there.
    """

    source: NDArray[np.int32]
    threshold: NDArray[np.float32]
    equal: NDArray[np.bool_]
    keys: NDArray[np.uint64]
    values: NDArray[np.float32]
    default: float


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """A derived column `left operator right` of two encoded columns, in float32; NaN where not finite."""

    operator: str
    left: int
    right: int


Derived: TypeAlias = "Lookup | Arithmetic"


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Decision trees of any kind (boosted or bagged), all nodes of all trees in one set of arrays.

    Node n is a leaf where `feature[n] < 0`; it then adds `values[left[n]]` to the outputs `output[t] ..
    output[t] + width - 1` of its tree t. Otherwise column `feature[n]` decides:

    - NaN goes left where `missing_left[n]`, else right;
    - where `category[n] < 0`: left if value <= threshold[n], compared as float32, else right. (A library that
      compares with < stores the next float32 below its threshold; one that splits in float64 rounds towards
      minus infinity, which keeps every decision on float32 values.)
    - else a set of codes: code c goes left if c < 32 * words[n] and bit c % 32 of
      `bits[category[n] + c // 32]` is set, else right.

    Attributes:
        columns: how many encoded columns a row has.
        feature: int32 (nodes,). threshold: float32 (nodes,). left, right: int32 (nodes,), absolute node numbers.
        missing_left: bool (nodes,). category, words: int32 (nodes,). bits: uint32 (any,).
        values: float64 (distinct leaves, width), equal rows stored once.
        roots: int32 (trees,), node number of each root. output: int32 (trees,), first output it adds to.
        base: float64 (outputs,). scale: multiplies the sum, for instance 1 / trees for a bagged forest.
        derived: the derived columns that nodes may name.
        cover: float32 (nodes,), training weight that reached each node, for explanations; None where unknown.
        gain: float32 (nodes,), what each split brought in the learner's loss, 0 at leaves; None where unknown.
    """

    columns: int
    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    missing_left: NDArray[np.bool_]
    category: NDArray[np.int32]
    words: NDArray[np.int32]
    bits: NDArray[np.uint32]
    values: NDArray[np.float64]
    roots: NDArray[np.int32]
    output: NDArray[np.int32]
    base: NDArray[np.float64]
    link: str
    scale: float = 1.0
    derived: tuple[Derived, ...] = ()
    cover: NDArray[np.float32] | None = None
    gain: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Additive:
    """A generalised linear model: each column adds its own contribution.

    Column j with `table_start[j] < 0` is a number: it adds `weight[j] * clip(x, low[j], high[j])`, or `missing[j]`
    where x is NaN. Otherwise code c adds `table[table_start[j] + c]`, and NaN adds `missing[j]`.

    Attributes:
        columns: how many encoded columns a row has; the arrays below go on over the derived ones.
        weight, missing: float64 (columns + derived, outputs). low, high: float64 (columns + derived,), may be infinite.
        table: float64 (all codes, outputs). table_start: int32 (columns + derived,). base: float64 (outputs,).
    """

    columns: int
    weight: NDArray[np.float64]
    missing: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    table: NDArray[np.float64]
    table_start: NDArray[np.int32]
    base: NDArray[np.float64]
    link: str
    scale: float = 1.0
    derived: tuple[Derived, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A multilayer perceptron. Weights are float32; all arithmetic is in float64.

    The inputs of the first layer are, one after the other:

    - for each number i: z[i] = t / sqrt(1 + (t / 3)^2) with t = (x - center[i]) * factor[i], or 0 where x is NaN;
    - for each flag: 1 where its column is NaN, else 0;
    - for each number i, m cosines: cos(frequency[i] * z[i] + phase[i]);
    - for each category j: code c gives table[start[j] + c * width[j] : start[j] + (c + 1) * width[j]], and NaN the
      numbers after those of the last code, c = levels[j].

    A layer gives `inputs @ weights[l] + biases[l]`; between two layers stands the activation: "selu" is
    1.0507009873554805 * x where x > 0, else 1.7580993408473766 * (exp(x) - 1); "mish" is
    x * tanh(log(1 + exp(x))); "relu" is max(x, 0). The last layer adds to the outputs, `raw = base + scale * clip(last, low, high)`.

    Attributes:
        columns: how many encoded columns a row has.
        source: int32 (numbers,), the encoded or derived column of each number. center, factor: float64 (numbers,).
        flags: int32 (flags,), encoded or derived columns. frequency, phase: float32 (numbers, m); m may be 0.
        categories: int32 (categories,), encoded columns. start, width, levels: int32 (categories,). table: float32.
        weights: float32 (inputs, units) each. biases: float32 (units,) each; the last has one unit per output.
        low, high: what bounds the last layer's values. base: float64 (outputs,).
    """

    columns: int
    source: NDArray[np.int32]
    center: NDArray[np.float64]
    factor: NDArray[np.float64]
    flags: NDArray[np.int32]
    frequency: NDArray[np.float32]
    phase: NDArray[np.float32]
    categories: NDArray[np.int32]
    start: NDArray[np.int32]
    width: NDArray[np.int32]
    levels: NDArray[np.int32]
    table: NDArray[np.float32]
    weights: tuple[NDArray[np.float32], ...]
    biases: tuple[NDArray[np.float32], ...]
    activation: str
    base: NDArray[np.float64]
    link: str
    low: float = -math.inf
    high: float = math.inf
    scale: float = 1.0
    derived: tuple[Derived, ...] = ()


Flat: TypeAlias = "Forest | Additive"
