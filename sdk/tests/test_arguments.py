"""What an engine cannot be asked for is said before any work."""

from __future__ import annotations

from typing import Any

import pytest

from automl import AutoML
from automl_core import SettingsError


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"folds": 2.5}, "folds is 2.5; it must be a whole number of at least 1"),
        ({"folds": "3"}, "folds is '3'"),
        ({"folds": 0}, "folds is 0"),
        ({"seed": None}, "seed is None; it must be a whole number of at least 0"),
        ({"seed": -1}, "seed is -1"),
        ({"max_trials": 1.5}, "max_trials is 1.5"),
        ({"time_limit": "60"}, "time_limit is '60'; it must be a number greater than 0"),
        ({"time_limit": float("nan")}, "time_limit is nan"),
        ({"time_limit": None}, "max_trials must say"),
        ({"predict_time_limit": 0}, "predict_time_limit is 0"),
        ({"memory_limit": "1GB"}, "memory_limit is '1GB'"),
        ({"held_out_rows": None}, "held_out_rows is None"),
        ({"n_jobs": "all"}, "n_jobs is 'all'; it must be at least 1, or -1"),
        ({"n_jobs": 0}, "n_jobs is 0"),
        ({"quality": None}, "quality is None; it must be one of fast, balanced, best"),
        ({"task": 1}, "task is 1"),
        ({"metric": 1}, "metric is 1"),
        ({"monotone": ["x"]}, "monotone is of the type list; it must be a dict"),
        ({"storage": 3}, "storage is of the type int"),
        ({"optimizer": "tpe"}, "optimizer is of the type str; .* goes into settings.search"),
        ({"listeners": None}, "listeners is of the type NoneType"),
        ({"settings": {"password": "secret"}}, "settings is of the type dict"),
    ],
)
def test_what_cannot_be_asked_for_is_said_at_once(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        AutoML(**asked).fit({"x": [1.0] * 20}, [0, 1] * 10)
    assert "secret" not in str(caught.value)
