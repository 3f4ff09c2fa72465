"""Train on a table, look at what was tried, predict, save, load, write a report.

python examples/quickstart.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from sklearn.datasets import load_wine

from automl import AutoML, load_model


def main(seconds: float = 20.0) -> None:
    table = load_wine(as_frame=True).frame
    held_out = table.sample(frac=0.25, random_state=0)
    train = table.drop(held_out.index)

    model = AutoML(time_limit=seconds).fit(train, target="target")
    print(model.leaderboard())
    print(f"held-out log loss: {model.score(held_out):.4f}")

    row = held_out.drop(columns="target").iloc[0].to_dict()
    print("one row:", model.predict(row), model.predict_proba(row).round(3))

    path = Path(tempfile.mkdtemp()) / "wine.automl"
    model.save(path)
    again = load_model(path)  # needs numpy, and no training library
    print("loaded:", again, again.predict(row))

    page = path.with_suffix(".html")
    model.report(page, data=held_out)
    print("read in a browser:", page)


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
