"""Search spaces: what a learner lets a search choose."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from random import Random

__all__ = ["Choice", "Dimension", "Float", "Int", "Params", "Scalar", "Space", "When"]

Scalar: TypeAlias = "bool | int | float | str | None"
Params: TypeAlias = "Mapping[str, Scalar]"


@dataclass(frozen=True, slots=True)
class When:
    """A condition: the parameter `name` has one of `values`."""

    name: str
    values: tuple[Scalar, ...]

    def holds(self, params: Params) -> bool:
        return self.name in params and params[self.name] in self.values


@dataclass(frozen=True, slots=True)
class Float:
    """A real number in [low, high], uniform, or uniform in its logarithm."""

    low: float
    high: float
    log: bool = False
    when: When | None = None

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.high, self.log)

    def contains(self, value: Scalar) -> bool:
        return _is_number(value) and self.low <= float(value) <= self.high  # type: ignore[arg-type]

    def sample(self, rng: Random) -> float:
        if not self.log:
            return rng.uniform(self.low, self.high)
        drawn = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return min(max(drawn, self.low), self.high)


@dataclass(frozen=True, slots=True)
class Int:
    """A whole number in [low, high], both ends included."""

    low: int
    high: int
    log: bool = False
    when: When | None = None

    def __post_init__(self) -> None:
        _check_bounds(self.low, self.high, self.log)

    def contains(self, value: Scalar) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def sample(self, rng: Random) -> int:
        if not self.log:
            return rng.randint(self.low, self.high)
        # Half a unit either side gives both ends the mass of a whole number.
        drawn = math.exp(rng.uniform(math.log(self.low - 0.5), math.log(self.high + 0.5)))
        return min(max(round(drawn), self.low), self.high)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few values without an order."""

    options: tuple[Scalar, ...]
    when: When | None = None

    def __post_init__(self) -> None:
        if not self.options:
            raise ValueError("a Choice needs at least one option")

    def contains(self, value: Scalar) -> bool:
        return any(value == option and type(value) is type(option) for option in self.options)

    def sample(self, rng: Random) -> Scalar:
        return rng.choice(self.options)


Dimension: TypeAlias = "Float | Int | Choice"


class Space(Mapping[str, Dimension]):
    """Dimensions by name; a condition refers to a dimension that stands before it."""

    def __init__(self, dimensions: Mapping[str, Dimension] | None = None) -> None:
        self._dimensions = dict(dimensions or {})
        seen: set[str] = set()
        for name, dimension in self._dimensions.items():
            if dimension.when is not None and dimension.when.name not in seen:
                raise ValueError(
                    f"the condition of {name!r} names {dimension.when.name!r}, which does not stand before it"
                )
            seen.add(name)

    def __getitem__(self, name: str) -> Dimension:
        return self._dimensions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._dimensions)

    def __len__(self) -> int:
        return len(self._dimensions)

    def __repr__(self) -> str:
        return f"Space({self._dimensions!r})"

    @property
    def size(self) -> float:
        """Count the distinct configurations, conditions left aside; infinite with a Float."""
        sizes = (_dimension_size(dimension) for dimension in self._dimensions.values())
        return math.prod(sizes)

    def sample(self, rng: Random) -> dict[str, Scalar]:
        """Draw one configuration; inactive dimensions are left out."""
        params: dict[str, Scalar] = {}
        for name, dimension in self._dimensions.items():
            if dimension.when is None or dimension.when.holds(params):
                params[name] = dimension.sample(rng)
        return params

    def grid(self) -> Iterator[dict[str, Scalar]]:
        """Yield every configuration once, in a fixed order, inactive dimensions left out.

        Raises:
            ValueError: the space is infinite.
        """
        if self.size == math.inf:
            raise ValueError("an infinite space has no grid")
        return self._grid({}, list(self._dimensions.items()))

    def _grid(self, params: dict[str, Scalar], rest: list[tuple[str, Dimension]]) -> Iterator[dict[str, Scalar]]:
        if not rest:
            yield params
            return
        (name, dimension), *others = rest
        if dimension.when is not None and not dimension.when.holds(params):
            yield from self._grid(params, others)
            return
        for value in _dimension_values(dimension):
            yield from self._grid({**params, name: value}, others)

    def check(self, params: Params) -> None:
        """Raise ValueError for an unknown parameter or one out of its bounds."""
        for name, value in params.items():
            if name not in self._dimensions:
                raise ValueError(f"unknown parameter {name!r}; known: {', '.join(self._dimensions) or 'none'}")
            if not self._dimensions[name].contains(value):
                raise ValueError(f"{name}={value!r} is outside of {self._dimensions[name]}")


def _check_bounds(low: float, high: float, log: bool) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(f"bounds must be finite with low <= high, not [{low}, {high}]")
    if log and low <= 0:
        raise ValueError(f"a logarithmic dimension needs low > 0, not {low}")


def _is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _dimension_size(dimension: Dimension) -> float:
    if isinstance(dimension, Choice):
        return len(dimension.options)
    if isinstance(dimension, Int):
        return dimension.high - dimension.low + 1
    return 1 if dimension.low == dimension.high else math.inf


def _dimension_values(dimension: Dimension) -> Iterable[Scalar]:
    if isinstance(dimension, Choice):
        return dimension.options
    if isinstance(dimension, Int):
        return range(dimension.low, dimension.high + 1)
    return (dimension.low,)
