"""Whether one model is better than another on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.metrics import pinball_level, pinball_losses
from automl_core import REGRESSION, DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.model import Model

__all__ = ["Comparison", "compare", "score_of"]

FLIPS, MOST_ROWS = 9_999, 20_000
SURE = 1e-6  # probabilities below count as this one: no single row decides


@dataclass(frozen=True, slots=True)
class Comparison:
    """Champion and challenger on the same rows.

    Attributes:
        gain: mean loss of the champion less that of the challenger: log loss of classes, squared error of numbers, of a
            champion that predicts a quantile its pinball loss.
        interval: of the gain, 95 %, by the normal law.
        p: one-sided, of a gain this large where both are alike: signs of the differences flipped at random.
        champion, challenger: accuracy, or RMSE of numbers, or the mean pinball loss.
    """

    rows: int
    gain: float
    interval: tuple[float, float]
    p: float
    metric: str
    champion: float
    challenger: float

    @property
    def worse_by(self) -> float:
        """How much worse the challenger's score is; negative where it is better."""
        difference = self.champion - self.challenger
        return difference if self.metric == "accuracy" else -difference

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "interval": list(self.interval)}


def compare(champion: Model, challenger: Model, inputs: Any, truths: Sequence[Any], *, seed: int = 0) -> Comparison:
    """Compare two models row by row.

    Args:
        inputs: anything that both predict. truths: a label or number per row, none missing.

    Raises:
        DataError: there is no row, a model cannot take the rows, or one predicts numbers and the other classes.
    """
    if not len(truths):
        raise DataError("there is no labelled row to compare models on.")
    if (champion.task == REGRESSION) != (challenger.task == REGRESSION):
        raise DataError(f"a {champion.task} model and a {challenger.task} one cannot be compared.")
    level = pinball_level(champion.metric)
    difference = losses(champion, inputs, truths, level) - losses(challenger, inputs, truths, level)
    difference = difference[-MOST_ROWS:]
    mean = float(difference.mean())
    margin = 1.96 * float(difference.std()) / len(difference) ** 0.5
    metric, before = score_of(champion, inputs, truths, level)
    _, after = score_of(challenger, inputs, truths, level)
    interval = (mean - margin, mean + margin)
    return Comparison(len(difference), mean, interval, _p_value(difference, seed), metric, before, after)


def losses(model: Model, inputs: Any, truths: Sequence[Any], level: float | None = None) -> NDArray[np.float64]:
    """Return the loss of each row; `level` is the quantile that is predicted, if one is."""
    if model.task == REGRESSION and level is not None:
        return pinball_losses(np.asarray(truths, dtype=np.float64), model.predict(inputs), level)
    if model.task == REGRESSION:
        return np.asarray((model.predict(inputs) - np.asarray(truths, dtype=np.float64)) ** 2)
    said = model.predict_proba(inputs)
    places = {label: place for place, label in enumerate(model.classes_.tolist())}
    codes = np.array([places.get(truth, -1) for truth in truths])
    chance = np.where(codes < 0, 0.0, said[np.arange(len(codes)), codes])  # a class that it does not know
    return np.asarray(-np.log(np.maximum(chance, SURE)))


def score_of(model: Model, inputs: Any, truths: Sequence[Any], level: float | None = None) -> tuple[str, float]:
    """Return "accuracy", "rmse" or "pinball:0.9", and what the model scores."""
    if model.task == REGRESSION and level is not None:
        return f"pinball:{level:g}", float(losses(model, inputs, truths, level).mean())
    if model.task == REGRESSION:
        return "rmse", float(np.sqrt(losses(model, inputs, truths).mean()))
    said = model.predict(inputs).tolist()
    return "accuracy", float(np.mean([one == other for one, other in zip(said, truths, strict=True)]))


def _p_value(difference: NDArray[np.float64], seed: int) -> float:
    random = np.random.default_rng(seed)
    observed, reached, left = difference.sum(), 0, FLIPS
    while left:
        count = min(left, max(1, 2_000_000 // len(difference)))
        signs = random.integers(0, 2, (count, len(difference)), dtype=np.int8) * 2 - 1
        reached += int((signs @ difference >= observed - 1e-12 * abs(observed)).sum())
        left -= count
    return (reached + 1) / (FLIPS + 1)
