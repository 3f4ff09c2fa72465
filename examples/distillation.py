"""A small student of a large ensemble: nearly as good, a fraction of its size and time.

python examples/distillation.py
"""

from __future__ import annotations

import sys
from importlib.resources import files

import pandas as pd

from automl import AutoML


def main(seconds: float = 60.0) -> None:
    table = pd.read_csv(files("automl.demo") / "bank_marketing.csv")
    test, train = table[::4], table.drop(table.index[::4])
    teacher = AutoML(time_limit=seconds / 3).fit(train, target="y")
    student = teacher.distill(train, holdout=test, predict_time_limit=20, time_limit=seconds / 3)
    direct = AutoML(quality="fast", predict_time_limit=20, time_limit=seconds / 3).fit(train, target="y")

    told = student.model_.info["distilled"]
    print(pd.DataFrame({name: told[name] for name in ("teacher", "student")}).T)
    print(f"as small, without a teacher: {told['metric']} {direct.score(test):.4f}")
    student.save("small.automl")  # an ordinary model: serve it, explain it, load it without a training library


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
