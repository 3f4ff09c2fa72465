"""Keep studies in MLflow, and versions of models: which is in production, and back to the one before.

python examples/tracking.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from sklearn.datasets import load_wine

from automl import AutoML, load_model
from automl.tracking.mlflow_integration import MLflowConfig, MLflowTracker
from automl_core.settings import load_settings


def main(seconds: float = 20.0) -> None:
    folder = Path(tempfile.mkdtemp())
    store = f"sqlite:///{folder / 'mlflow.db'}"  # or the address of a server; MLFLOW_TRACKING_URI says the same
    mlflow = {"tracking_uri": store, "experiment_name": "wine"}
    settings = load_settings(trackers=("mlflow",), directory=str(folder), plugins={"mlflow": mlflow})
    table = load_wine(as_frame=True).frame

    with MLflowTracker(MLflowConfig(**mlflow), directory=folder) as tracker:
        for seed in (0, 1):
            model = AutoML(time_limit=seconds / 2, seed=seed, settings=settings).fit(table, target="target")
            model.save(folder / "wine.automl")
            version = tracker.register("wine", folder / "wine.automl", tags={"seed": str(seed)})
            tracker.alias("wine", "champion", version)  # what `automl serve models:/wine@champion` follows
        print("versions:", list(tracker.versions("wine")), dict(tracker.aliases("wine")))
        print("rolled back to version", tracker.rollback("wine", "champion"))
        model = load_model(tracker.resolve("wine", "champion"))
        print("one prediction of it:", model.predict(table.drop(columns="target").iloc[0].to_dict()))

    print(f"look at the runs: mlflow ui --backend-store-uri {store}")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
