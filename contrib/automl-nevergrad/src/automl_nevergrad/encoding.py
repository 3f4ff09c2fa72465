"""A learner's space as a parametrization of Nevergrad, and values between the two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nevergrad as ng

from automl_core import Choice, Dimension, Float, Int, Params, Scalar, Space

__all__ = ["Encoding"]


class Encoding:
    """Dimensions whose condition fails keep their place in Nevergrad's vector: what they hold there is ignored.

    A choice is the number of its option, as options may be equal (1 and True). A dimension with one value is none.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._free = {name: dimension for name, dimension in space.items() if not _is_fixed(dimension)}

    def parametrize(self) -> ng.p.Dict:
        return ng.p.Dict(**{name: _parameter(dimension) for name, dimension in self._free.items()})

    def decode(self, values: Mapping[str, Any]) -> dict[str, Scalar]:
        """Return the configuration that a value of the parametrization stands for."""
        params: dict[str, Scalar] = {}
        for name, dimension in self._space.items():
            if dimension.when is None or dimension.when.holds(params):
                params[name] = _decode_one(dimension, values.get(name))
        return params

    def encode(self, params: Params, default: Mapping[str, Any]) -> dict[str, Any]:
        """Return the value of the parametrization for a configuration; `default` stands in for inactive dimensions."""
        return {
            name: _encode_one(dimension, params[name]) if name in params else default[name]
            for name, dimension in self._free.items()
        }

    def is_whole(self, params: Params) -> bool:
        """Whether there is a value inside its bounds for each dimension whose condition holds, and no other."""
        active = {name for name, one in self._space.items() if one.when is None or one.when.holds(params)}
        return set(params) == active and all(self._space[name].contains(value) for name, value in params.items())


def _is_fixed(dimension: Dimension) -> bool:
    if isinstance(dimension, Choice):
        return len(dimension.options) == 1
    return dimension.low == dimension.high


def _parameter(dimension: Dimension) -> Any:
    if isinstance(dimension, Choice):
        return ng.p.Choice(range(len(dimension.options)))
    kind = ng.p.Log if dimension.log else ng.p.Scalar
    parameter: Any = kind(lower=dimension.low, upper=dimension.high)
    return parameter.set_integer_casting() if isinstance(dimension, Int) else parameter


def _decode_one(dimension: Dimension, value: float | None) -> Scalar:
    if isinstance(dimension, Choice):
        return dimension.options[int(value or 0)]
    if value is None:
        value = dimension.low
    # A logarithm and back may leave the bounds by a rounding error.
    if isinstance(dimension, Float):
        return min(max(float(value), float(dimension.low)), float(dimension.high))
    return min(max(round(value), dimension.low), dimension.high)


def _encode_one(dimension: Dimension, value: Scalar) -> Any:
    if not isinstance(dimension, Choice):
        return value
    return next(n for n, option in enumerate(dimension.options) if option == value and type(option) is type(value))
