"""The network as PyTorch trains it, and how it folds into a `Network`.

After RealMLP-TD (Holzmueller, Grinsztajn, Steinwart 2024, "Better by default", section 3): periodic embeddings of
numbers with the number itself beside them, a trained scale on each input, layers in neural tangent parametrisation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from automl_core import Network
from automl_torch.inputs import WIDTH

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl_torch.inputs import Inputs

__all__ = ["Batch", "Perceptron", "Shape"]

COSINES, MIXED = 16, 3  # of each number; how many numbers they are mixed down to


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Rows of numbers, flags and codes."""

    numbers: Tensor
    flags: Tensor
    codes: Tensor

    def __getitem__(self, rows: Tensor) -> Batch:
        return Batch(self.numbers[rows], self.flags[rows], self.codes[rows])


@dataclass(frozen=True, slots=True)
class Shape:
    """What a network is like; `sigma` is the spread of the cosines' frequencies, 0 for no cosines."""

    hidden: Sequence[int]
    outputs: int
    activation: str
    sigma: float


class Perceptron:
    """Parameters by group, each with its factor on the learning rate (table A.1 of the paper)."""

    def __init__(self, inputs: Inputs, shape: Shape, generator: torch.Generator) -> None:
        self.inputs, self.shape, self._generator = inputs, shape, generator
        k, m = len(inputs.source), COSINES if shape.sigma > 0 else 0
        self.mixed = k * MIXED if m else 0
        self.frequency = shape.sigma * self._normal(k, m)
        self.phase = math.pi * self._uniform(k, m)
        self.mix, self.mix_bias = self._uniform(k, m, MIXED) / 4, self._uniform(k, MIXED) / 4
        self.tables = [self._table(category.count, category.one_hot) for category in inputs.categories]
        width = k + len(inputs.flags) + self.mixed + sum(category.width for category in inputs.categories)
        self.scale = torch.ones(width)
        sizes = [width, *shape.hidden, shape.outputs]
        # The last layer starts at zero: the first prediction is the prior.
        self.weights = [self._normal(*pair) for pair in pairwise(sizes[:-1])]
        self.weights.append(torch.zeros(sizes[-2], sizes[-1]))
        self.biases = [self._normal(size) for size in sizes[1:-1]] + [torch.zeros(sizes[-1])]

    def groups(self) -> list[tuple[list[Tensor], float, bool]]:
        """Return (parameters, factor of the learning rate, whether weights decay)."""
        trained = [
            table for table, category in zip(self.tables, self.inputs.categories, strict=True) if not category.one_hot
        ]
        cosines = [self.frequency, self.phase, self.mix, self.mix_bias] if self.mixed else []
        return [
            (self.weights, 1.0, True),
            (self.biases, 0.1, False),
            ([self.scale], 6.0, False),
            (cosines, 0.1, False),
            (trained, 1.0, False),
        ]

    def forward(self, batch: Batch, dropout: float = 0.0) -> Tensor:
        value = self._read(batch) * self.scale
        last = len(self.weights) - 1
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            value = torch.addmm(bias, value, weight, alpha=weight.shape[0] ** -0.5)
            if number < last:
                value = functional.mish(value) if self.shape.activation == "mish" else functional.selu(value)
                if dropout > 0:  # own masks: functional.dropout draws from the global generator
                    kept = torch.empty_like(value).bernoulli_(1 - dropout, generator=self._generator)
                    value = value * kept / (1 - dropout)
        return value

    def _read(self, batch: Batch) -> Tensor:
        parts = [batch.numbers, batch.flags]
        if self.mixed:
            cosines = torch.cos(2 * math.pi * batch.numbers[:, :, None] * self.frequency + self.phase)
            mixed = torch.bmm(cosines.transpose(0, 1), self.mix).transpose(0, 1) + self.mix_bias
            parts.append(mixed.flatten(1))
        parts += [functional.embedding(batch.codes[:, j], table) for j, table in enumerate(self.tables)]
        return torch.cat(parts, dim=1)

    def state(self) -> list[Tensor]:
        return [tensor.detach().clone() for tensors, _, _ in self.groups() for tensor in tensors]

    def restore(self, state: Sequence[Tensor]) -> None:
        with torch.no_grad():
            for tensor, kept in zip([t for tensors, _, _ in self.groups() for t in tensors], state, strict=True):
                tensor.copy_(kept)

    def _normal(self, *size: int) -> Tensor:
        return torch.randn(size, generator=self._generator)

    def _uniform(self, *size: int) -> Tensor:
        return 2 * torch.rand(size, generator=self._generator) - 1

    def _table(self, count: int, one_hot: bool) -> Tensor:
        rows = torch.eye(count - 1) if one_hot else self._normal(count - 1, WIDTH)
        return torch.cat([torch.zeros(1, rows.shape[1]), rows])

    # ---- folding

    def fold(
        self, columns: int, *, link: str, base: float = 0.0, scale: float = 1.0, bound: float = math.inf
    ) -> Network:
        """Return the same function as flat arrays; two classes become one output for the link "sigmoid"."""
        weights = [array(weight) * weight.shape[0] ** -0.5 for weight in self.weights]
        biases = [array(bias) for bias in self.biases]
        weights[0], biases[0] = self._fold_first(weights[0] * array(self.scale)[:, None], biases[0])
        if link == "sigmoid":
            weights[-1], biases[-1] = np.diff(weights[-1], axis=1), np.diff(biases[-1])
        categories = self.inputs.categories
        tables = [array(t)[c.rows].ravel() for t, c in zip(self.tables, categories, strict=True)]
        sizes = [len(table) for table in tables]
        return Network(
            columns=columns,
            source=self.inputs.source,
            center=self.inputs.center,
            factor=self.inputs.factor,
            flags=self.inputs.flags,
            frequency=(2 * math.pi * array(self.frequency)).astype(np.float32),
            phase=array(self.phase).astype(np.float32),
            categories=_int32([category.column for category in categories]),
            start=_int32(np.cumsum([0, *sizes])[:-1]),
            width=_int32([category.width for category in categories]),
            levels=_int32([len(category.rows) - 1 for category in categories]),
            table=np.concatenate([*tables, np.empty(0)]).astype(np.float32),
            weights=tuple(weight.astype(np.float32) for weight in weights),
            biases=tuple(bias.astype(np.float32) for bias in biases),
            activation=self.shape.activation,
            base=np.full(weights[-1].shape[1], base),
            link=link,
            low=-bound,
            high=bound,
            scale=scale,
        )

    def _fold_first(
        self, weight: NDArray[np.float64], bias: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Let the first layer read the cosines themselves instead of what they are mixed down to."""
        before = len(self.inputs.source) + len(self.inputs.flags)
        mixing = weight[before : before + self.mixed].reshape(-1, MIXED, weight.shape[1])
        if not self.mixed:
            return weight, bias
        direct = np.einsum("kmo,koh->kmh", array(self.mix), mixing).reshape(-1, weight.shape[1])
        added = np.einsum("ko,koh->h", array(self.mix_bias), mixing)
        return np.concatenate([weight[:before], direct, weight[before + self.mixed :]]), bias + added


def array(tensor: Tensor) -> NDArray[np.float64]:
    return np.asarray(tensor.detach().numpy(), dtype=np.float64)


def _int32(numbers: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int32]:
    return np.array(numbers, dtype=np.int32)
