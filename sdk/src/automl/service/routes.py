"""Which version answers: the default one, a share of the traffic to others, shadows beside."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate
from random import random
from typing import TYPE_CHECKING

from automl_core import SettingsError

if TYPE_CHECKING:
    from automl.service.served import Served

__all__ = ["Route", "make_route"]


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """How requests for one name are shared among its versions; never changed, replaced as a whole.

    Attributes:
        versions: all that may be asked for. shares: those that get requests without a version.
        bounds: the upper end of each share, rising to 1.
        shadows: predict the same rows too, for monitors alone.
    """

    versions: Mapping[str, Served]
    shares: tuple[Served, ...]
    bounds: tuple[float, ...]
    shadows: tuple[Served, ...] = ()

    def choose(self, key: str = "") -> Served:
        """Return a version by weight: at random, or always the same for the same key."""
        if len(self.shares) == 1:
            return self.shares[0]
        point = int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big") / 2**64 if key else random()  # noqa: S311
        return self.shares[min(bisect_right(self.bounds, point), len(self.shares) - 1)]


def make_route(versions: Mapping[str, Served], weights: Mapping[str, float], shadows: Sequence[str] = ()) -> Route:
    """Return a route.

    Raises:
        SettingsError: a version is unknown, or the weights are not positive.
    """
    for version in [*weights, *shadows]:
        if version not in versions:
            raise SettingsError(f"there is no version {version!r}; there are: {', '.join(sorted(versions))}.")
    if not weights or min(weights.values()) <= 0:
        raise SettingsError(f"the weights {dict(weights)} must be positive, and there must be one.")
    total = sum(weights.values())
    bounds = tuple(accumulate(weight / total for weight in weights.values()))
    return Route(
        dict(versions), tuple(versions[v] for v in weights), bounds, tuple(versions[version] for version in shadows)
    )
