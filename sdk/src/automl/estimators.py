"""The engine as scikit-learn estimators, for pipelines, cross-validation and everything else that takes one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from automl.engine import AutoML

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.model import Model
    from automl_core import Settings

__all__ = ["AutoMLClassifier", "AutoMLRegressor"]


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """What both estimators share; see `automl.AutoML` for the parameters."""

    _tasks: tuple[str, ...]

    def __init__(
        self,
        *,
        time_limit: float | None = 60.0,
        metric: str | Callable[..., float] | None = None,
        seed: int = 0,
        n_jobs: int | None = None,
        quality: str = "best",
        settings: Settings | None = None,
        max_trials: int | None = None,
        predict_time_limit: float | None = None,
        folds: int | None = None,
        monotone: Mapping[str, int] | None = None,
    ) -> None:
        self.time_limit = time_limit
        self.metric = metric
        self.seed = seed
        self.n_jobs = n_jobs
        self.quality = quality
        self.settings = settings
        self.max_trials = max_trials
        self.predict_time_limit = predict_time_limit
        self.folds = folds
        self.monotone = monotone

    def _search(self, X: Any, y: Any, task: str, sample_weight: Any, groups: Any, time: Any) -> None:
        engine = AutoML(task=task, **self.get_params(deep=False))
        engine.fit(X, y, sample_weight=sample_weight, groups=groups, time=time)
        self.model_: Model = engine.model_

    def _rows(self, X: Any, *, reset: bool = False, y: Any = None) -> Any:
        """Check what scikit-learn checks; data frames go on as they are, so that categories stay categories."""
        if reset and y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None.")
        if hasattr(X, "__arrow_c_stream__") or hasattr(X, "columns"):
            validate_data(self, X, reset=reset, skip_check_array=True)
            return X
        checked = {"dtype": None if _is_object(X) else "numeric", "ensure_all_finite": "allow-nan", "reset": reset}
        if y is None:
            return validate_data(self, X, **checked)
        return validate_data(self, X, y, y_numeric="regression" in self._tasks, **checked)[0]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags

    def leaderboard(self) -> Any:
        """Return what was tried, best first."""
        check_is_fitted(self)
        return self.model_.leaderboard()


class AutoMLClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """Finds the best classifier; parameters as of `automl.AutoML`.

    Attributes:
        classes_: labels, sorted. model_: an `automl.Model`. n_features_in_, feature_names_in_: as in scikit-learn.
    """

    _tasks = ("binary", "multiclass")

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, groups: Any = None, time: Any = None) -> Self:
        """Search for the best classifier of X, shape (rows, columns), and y, shape (rows,)."""
        rows = self._rows(X, reset=True, y=y)
        labels = _labels(y)
        check_classification_targets(labels)
        count = len(np.unique(labels))
        if count < 2:
            raise ValueError(f"Classifier can't train when only one class is present: {np.unique(labels)[:1]}")
        self._search(rows, labels, "binary" if count == 2 else "multiclass", sample_weight, groups, time)
        self.classes_ = self.model_.classes_
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Return labels, shape (rows,)."""
        check_is_fitted(self)
        return self.model_.predict(self._rows(X))

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return probabilities, shape (rows, classes), in the order of `classes_`."""
        check_is_fitted(self)
        return self.model_.predict_proba(self._rows(X))


class AutoMLRegressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """Finds the best regressor; parameters as of `automl.AutoML`."""

    _tasks = ("regression",)

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, groups: Any = None, time: Any = None) -> Self:
        """Search for the best regressor of X, shape (rows, columns), and y, shape (rows,)."""
        rows = self._rows(X, reset=True, y=y)
        self._search(rows, np.asarray(y, dtype=np.float64).ravel(), "regression", sample_weight, groups, time)
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Return numbers, shape (rows,)."""
        check_is_fitted(self)
        return self.model_.predict(self._rows(X))

    def predict_interval(self, X: Any, *, coverage: float = 0.9) -> NDArray[np.float64]:
        """Return lower and upper ends, shape (rows, 2); see `automl.Model.predict_interval`."""
        check_is_fitted(self)
        return self.model_.predict_interval(self._rows(X), coverage=coverage)


def _is_object(X: Any) -> bool:
    return getattr(getattr(X, "dtype", None), "kind", "") in "OUS"


def _labels(y: Any) -> NDArray[Any]:
    from sklearn.utils import column_or_1d

    return np.asarray(column_or_1d(y, warn=True))
