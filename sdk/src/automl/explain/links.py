"""Links from raw scores to predictions, and their mean slope between two scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from automl.predictor.plain import apply_link, temper

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LINKS", "Link", "spread_rest", "temperature_link"]

# Gauss-Legendre on [0, 1]: exact for polynomials of degree 31.
POINTS, WEIGHTS = (array / 2 for array in np.polynomial.legendre.leggauss(16))
POINTS = POINTS + 0.5


class Link(ABC):
    """From raw scores (rows, outputs) to predictions (rows, classes)."""

    @abstractmethod
    def apply(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the predictions."""

    @abstractmethod
    def mean_slope(self, start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean Jacobian on the line from start to end, (rows, classes, outputs)."""


class Monotone(Link):
    """One score: the mean slope is the rise over the run."""

    def __init__(self, name: str) -> None:
        self._name = name

    def apply(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        return apply_link(self._name, scores)

    def mean_slope(self, start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
        low, high = np.minimum(start, end), np.maximum(start, end)
        # Nearer than this the quotient is noise; over a step of this size the slope hardly changes.
        step = np.maximum(1e-5 - (high - low), 0.0) / 2
        low, high = low - step, high + step
        return np.asarray((self.apply(high) - self.apply(low)) / (high - low))[:, :, None]


class Smooth(Link):
    """Several scores: the mean slope by quadrature."""

    def mean_slope(self, start: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
        slopes = (w * self.slope(start + t * (end - start)) for t, w in zip(POINTS, WEIGHTS, strict=True))
        return np.asarray(sum(slopes))

    @abstractmethod
    def slope(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the Jacobian, (rows, classes, outputs)."""


class Softmax(Smooth):
    def apply(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        return apply_link("softmax", scores)

    def slope(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        p = self.apply(scores)
        return p[:, :, None] * (np.eye(p.shape[1]) - p[:, None, :])


class Shares(Smooth):
    """Scores are clipped at 0 and divided by their sum."""

    def apply(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        return apply_link("probability", scores)

    def slope(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        p, total = self.apply(scores), np.maximum(scores, 0.0).sum(axis=1)
        inside = (scores > 0)[:, None, :] / np.where(total > 0, total, np.inf)[:, None, None]
        return (np.eye(p.shape[1]) - p[:, :, None]) * inside


class Tempered(Smooth):
    """Probabilities to the power of 1 / temperature, renormalised."""

    def __init__(self, temperature: float) -> None:
        self._temperature = temperature

    def apply(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        return temper(scores, self._temperature)

    def slope(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        q, p = self.apply(scores), np.maximum(scores, 1e-15)
        return q[:, :, None] * (np.eye(q.shape[1]) - q[:, None, :]) / (self._temperature * p[:, None, :])


LINKS: dict[str, Link] = {
    "identity": Monotone("identity"),
    "exp": Monotone("exp"),
    "sigmoid": Monotone("sigmoid"),
    "softmax": Softmax(),
    "probability": Shares(),
}


def temperature_link(temperature: float) -> Link:
    return Tempered(temperature)


def spread_rest(added: NDArray[np.float64], rise: NDArray[np.float64], *, otherwise: NDArray[np.float64]) -> None:
    """Make contributions sum to the rise: what quadrature leaves over goes where most was added.

    Args:
        added: (rows, columns, outputs), changed in place. rise: (rows, outputs).
        otherwise: (rows or 1, columns, outputs or 1), in what proportion where nothing was added.
    """
    rest = rise - added.sum(axis=1)
    size = np.abs(added)
    total = size.sum(axis=1, keepdims=True)
    size = np.where(total > 0, size, otherwise)
    total = size.sum(axis=1, keepdims=True)
    added += rest[:, None] * size / np.where(total > 0, total, 1.0)
