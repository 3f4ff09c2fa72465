"""Every example runs as its first lines say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES, NOTEBOOKS = sorted(FOLDER.glob("*.py")), sorted(FOLDER.glob("*.ipynb"))
SECONDS = "9"
# Clusters take their time to start; these end by themselves as soon as they have tried a few.
PATIENCE = {"dask_on_s3": "240", "ray_cluster": "400"}
# What an example needs beyond `requirements.txt`; CI has it all.
NEEDS = {
    "dask_on_s3": ("automl_dask", "moto", "s3fs"),
    "monitoring_and_retraining": ("automl_drift",),
    "ray_cluster": ("automl_ray",),
    "serve_with_cache": ("automl_redis", "automl_starlette"),
    "tracking": ("automl_mlflow",),
}
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "RAY_USAGE_STATS_ENABLED": "0"}


def need(*modules: str) -> None:
    for module in modules:
        if os.environ.get("CI") != "true":
            pytest.importorskip(module)


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path, tmp_path):
    need(*NEEDS.get(path.stem, ()))
    done = subprocess.run(
        [sys.executable, str(path), PATIENCE.get(path.stem, SECONDS)],
        cwd=tmp_path,
        env={**os.environ, **QUIET, "AUTOML_DIRECTORY": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout


# In a process of its own, as the client of a notebook runs an event loop.
EXECUTE = """
import sys
import nbformat
from nbclient import NotebookClient

book = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(book, timeout=300, kernel_name="python3").execute()
shown = [output for cell in book.cells for output in cell.get("outputs", ())]
print(sum("text/html" in output.get("data", {}) for output in shown))
"""


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path):
    need("nbclient", "ipykernel")
    jupyter = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, str(path)],
        cwd=tmp_path,
        env={
            **os.environ, **QUIET, "AUTOML_DIRECTORY": str(tmp_path), "EXAMPLE_SECONDS": SECONDS,
            **{name: str(tmp_path / name) for name in jupyter},
        },
        capture_output=True,
        text=True,
        timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert int(done.stdout.splitlines()[-1]) >= 1


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path):
    cells = json.loads(path.read_text())["cells"]
    assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []
