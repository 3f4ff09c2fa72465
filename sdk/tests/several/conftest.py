from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl import AutoML
from automl_core.settings import load_settings

TARGETS = ["price", "sold", "rooms"]


def make_table(rows: int = 240) -> dict[str, Any]:
    """Two inputs, and a number, a label of text and a number of classes that they tell nearly all of."""
    rng = np.random.default_rng(0)
    size, age = rng.normal(size=rows), rng.normal(size=rows)
    return {
        "size": size,
        "age": age,
        "price": 3 * size + rng.normal(0, 0.1, rows),
        "sold": np.where(age + rng.normal(0, 0.3, rows) > 0, "yes", "no"),
        "rooms": np.digitize(size - age, [-0.7, 0.7]) + 1,
    }


@pytest.fixture(scope="session")
def table() -> dict[str, Any]:
    return make_table()


@pytest.fixture(scope="session")
def make_engine() -> Callable[..., AutoML]:
    def make(*learners: str, **options: Any) -> AutoML:
        settings = load_settings(
            learners=learners or ("sklearn.linear",), storage="memory", executor="serial", search="random", trackers=()
        )
        return AutoML(settings=settings, **{"time_limit": None, "max_trials": 1, "n_jobs": 1, "folds": 2, **options})

    return make


@pytest.fixture(scope="session")
def fitted(table: dict[str, Any], make_engine: Callable[..., AutoML]) -> AutoML:
    return make_engine().fit(table, target=TARGETS)


@pytest.fixture(scope="session")
def saved(fitted: AutoML, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("several") / "several.automl"
    fitted.save(path)
    return path
