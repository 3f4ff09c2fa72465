"""Small fitted models: a linear one on numbers and categories, made without a learner."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

ROWS = 300


def make_table() -> dict[str, list[Any]]:
    rng = np.random.default_rng(0)
    return {
        "age": rng.integers(18, 90, ROWS).tolist(),
        "income": rng.normal(50_000, 10_000, ROWS).round(2).tolist(),
        "city": rng.choice(["Bern", "Köln", "Oslo"], ROWS).tolist(),
    }


def make_model(*, slope: float = 0.1, task: str = "binary") -> Any:
    import pyarrow as pa

    from automl.encoder import Encoder
    from automl.model import Model
    from automl.predictor import Part, Predictor
    from automl.schema import describe
    from automl_core import Additive

    table = pa.table(make_table())
    schema = describe(table)
    encoder = Encoder.fit(table, schema)
    count = len(encoder.columns)
    starts = np.full(count, -1, np.int32)
    codes = next(place for place, column in enumerate(encoder.columns) if column.categorical)
    starts[codes] = 0
    weight = np.zeros((count, 1))
    weight[0] = slope
    additive = Additive(
        columns=count, weight=weight, missing=np.full((count, 1), 0.5), low=np.full(count, -np.inf),
        high=np.full(count, np.inf), table=np.linspace(-1, 1, encoder.columns[codes].categories)[:, None],
        table_start=starts, base=np.array([-5.0]), link="sigmoid" if task == "binary" else "identity",
    )  # fmt: skip
    classes = ("no", "yes") if task == "binary" else ()
    predictor = Predictor([Part(additive, 1.0)], classes=len(classes), columns=count)
    return Model(encoder, predictor, task=task, schema=schema, classes=classes, target="bought")


@pytest.fixture(name="make_model", scope="session")
def _make_model() -> Any:
    return make_model


@pytest.fixture(scope="session")
def model() -> Any:
    return make_model()


@pytest.fixture(scope="session")
def rows() -> list[dict[str, Any]]:
    table = make_table()
    return [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
