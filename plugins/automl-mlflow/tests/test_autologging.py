"""What MLflow's autologging makes of the fits within a study: nothing, and after it all as before."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from automl_core import Study
from automl_mlflow.settings import MLflowConfig
from automl_mlflow.tracker import MLflowTracker

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")
STUDY = Study(id="a1b2", task="binary", metric="roc_auc", rows=100, columns=5, seed=7, folds=3)


class Estimator:
    """What a library may patch: a class with a method that fits."""

    def fit(self) -> Estimator:
        return self


@pytest.fixture
def fits(tracker: MLflowTracker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Fit in another thread, with an integration of MLflow's autologging, and return how many fits it saw."""
    from mlflow.utils import autologging_utils

    seen: list[Estimator] = []

    def patched(original: Any, self: Estimator) -> Any:
        seen.append(self)
        return original(self)

    monkeypatch.setitem(autologging_utils.AUTOLOGGING_INTEGRATIONS, "ours", {"disable": False, "silent": True})
    autologging_utils.safe_patch("ours", Estimator, "fit", patched)

    def fit() -> int:
        before = len(seen)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: Estimator().fit()).result()
        return len(seen) - before

    yield fit
    autologging_utils.revert_patches("ours")


def test_fits_within_a_study_are_not_autologged(tracker: MLflowTracker, fits: Any) -> None:
    assert fits() == 1
    tracker.start(STUDY)
    assert fits() == 0
    tracker.finish()
    assert fits() == 1


def test_autologging_waits_for_the_last_study(tracker: MLflowTracker, fits: Any, directory: Path) -> None:
    other = MLflowTracker(MLflowConfig.model_validate({"offline": True}), directory=directory)
    tracker.start(STUDY)
    other.start(STUDY)
    tracker.finish()
    tracker.finish()
    assert fits() == 0
    other.finish()
    assert fits() == 1


def test_autologging_that_was_off_stays_off(tracker: MLflowTracker, fits: Any) -> None:
    from mlflow.utils.autologging_utils import disable_autologging

    with disable_autologging():
        tracker.start(STUDY)
        tracker.finish()
        assert fits() == 0
