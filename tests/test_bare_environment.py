"""A model predicts where nothing is installed but automl-core, automl-sdk and what these require."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest
from packages import ROOT
from packaging.requirements import Requirement

from automl import AutoML
from automl_core import Settings

pytestmark = pytest.mark.slow
LEARNERS = ("lightgbm", "xgboost", "catboost", "sklearn")
HOME = {"automl-core": ROOT / "core/src/automl_core", "automl-sdk": ROOT / "sdk/src/automl"}
PREDICT = """
import json, sys
from automl import load_model
rows = json.load(sys.stdin)
model = load_model(sys.argv[1])
print(json.dumps({
    "probabilities": model.predict_proba(rows).tolist(), "labels": model.predict(rows).tolist(),
    "one": model.predict_proba(rows[0]).tolist(), "contributions": float(model.predict_contributions(rows[:3]).sum()),
}))
for name in ("pyarrow", "pandas", "sklearn", "lightgbm", "xgboost", "catboost"):
    try:
        __import__(name)
    except ImportError:
        continue
    sys.exit(f"{name} can be imported: this environment is not bare")
"""


def required(name: str, found: set[str]) -> set[str]:
    """Return a distribution and all that it requires without any extra."""
    if name not in found:
        found.add(name)
        for text in distribution(name).requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                required(requirement.name, found)
    return found


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bare")
    for name in required("automl-sdk", set()):
        if name in HOME:
            (folder / HOME[name].name).symlink_to(HOME[name])
            continue
        installed = distribution(name)
        for top in {Path(str(file)).parts[0] for file in installed.files or ()} - {"..", "__pycache__"}:
            target = folder / top
            if not target.exists():
                target.symlink_to(Path(str(installed.locate_file(top))))
    return folder


def make(rows: int, seed: int) -> tuple[dict[str, list[object]], list[str]]:
    random = np.random.default_rng(seed)
    size, colour = random.normal(size=rows), random.choice(["red", "blue", "green"], rows)
    right = np.where(size + (colour == "red") + 0.5 * random.normal(size=rows) > 0.3, "yes", "no")
    gaps = [None if gap else float(value) for gap, value in zip(random.random(rows) < 0.1, size, strict=True)]
    return {"size": gaps, "colour": colour.tolist(), "other": random.normal(size=rows).tolist()}, right.tolist()


def test_bare_environment_predicts_the_same(bare: Path, tmp_path: Path) -> None:
    (
        pytest.importorskip("automl_catboost"),
        pytest.importorskip("automl_xgboost"),
        pytest.importorskip("automl_lightgbm"),
    )
    settings = Settings(learners=LEARNERS, executor="serial", search="random", directory=str(tmp_path))
    fitted = AutoML(time_limit=120, max_trials=4, quality="balanced", seed=0, n_jobs=1, settings=settings).fit(
        *make(600, 0)
    )
    model = fitted.model_
    fitted.save(tmp_path / "m.automl")
    columns, _ = make(50, 1)
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    rows += [{"size": 1.0, "colour": "unseen", "other": None}, {"size": None, "colour": None, "other": 1e30}]
    command = [sys.executable, "-S", "-c", PREDICT, str(tmp_path / "m.automl")]
    done = subprocess.run(
        command, input=json.dumps(rows), env={"PYTHONPATH": str(bare)}, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    np.testing.assert_allclose(said["probabilities"], model.predict_proba(rows), rtol=1e-12)
    assert said["labels"] == model.predict(rows).tolist()
    assert said["one"] == [said["probabilities"][0]]
    assert said["contributions"] == pytest.approx(float(model.predict_contributions(rows[:3]).sum()))
