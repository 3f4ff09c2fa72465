"""The model that servers are compared with: 300 trees of LightGBM on 20 columns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["COLUMNS", "TREES", "make_rows", "save_trees"]

COLUMNS, TREES = 20, 300


def make_rows() -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return 20,000 rows and their classes."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, COLUMNS)).round(6).astype(np.float32)
    return x, x[:, 0] * x[:, 1] + x[:, 2] + rng.normal(0, 0.3, len(x)) > 0


def save_trees(folder: Path) -> None:
    """Write one fitted model as `m.automl`, and as LightGBM's own `m.txt`."""
    import lightgbm as lgb

    from automl.encoder import Encoder
    from automl.encoder.numbers import NumberPart
    from automl.model import Model
    from automl.predictor import Part, Predictor
    from automl_lightgbm.binned import Target
    from automl_lightgbm.flatten import flatten

    x, y = make_rows()
    parameters = {"objective": "binary", "num_leaves": 31, "verbosity": -1, "num_threads": 1, "seed": 0}
    booster = lgb.train(parameters, lgb.Dataset(x, y.astype(float)), num_boost_round=TREES)
    booster.save_model(folder / "m.txt")
    names = [f"f{i}" for i in range(COLUMNS)]
    forest = flatten(booster.model_to_string(), TREES, 2, Target())
    model = Model(
        Encoder(names, [NumberPart(name) for name in names]), Predictor([Part(forest, 1.0)], classes=2), task="binary",
        classes=[False, True],
    )  # fmt: skip
    np.testing.assert_allclose(model.predict_proba(x[:500])[:, 1], booster.predict(x[:500]), atol=1e-6)
    model.save(folder / "m.automl")
