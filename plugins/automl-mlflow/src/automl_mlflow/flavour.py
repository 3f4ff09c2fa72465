"""A model file as an MLflow model, which `mlflow.pyfunc.load_model` loads and `mlflow models serve` serves.

Written by hand: MLflow's own `log_model` imports the model to find its requirements, which takes seconds, and pandas.
The loader is a module of the engine, so that whoever serves the model needs the engine and MLflow, and no plugin.
"""

from __future__ import annotations

import json
import platform
import shutil
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["MODEL_FILE", "MODEL_SUFFIX", "read_manifest", "write_model"]

MODEL_SUFFIX = ".automl"
MODEL_FILE = f"model{MODEL_SUFFIX}"
LOADER = "automl.tracking.pyfunc"
EXAMPLE = "input_example.json"


def read_manifest(path: Path) -> Mapping[str, Any]:
    """Return what a model file says about itself; empty for a file that is no model of the engine."""
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = json.loads(archive.read("manifest.json"))
    except (zipfile.BadZipFile, KeyError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def write_model(path: Path, folder: Path) -> None:
    """Write the folder of an MLflow model around a copy of a model file."""
    from mlflow.version import VERSION

    manifest = read_manifest(path)
    shutil.copyfile(path, folder / MODEL_FILE)
    inputs = _inputs(manifest)
    requirements = _requirements(manifest, VERSION)
    described: dict[str, Any] = {
        "flavors": {
            "python_function": {
                "loader_module": LOADER,
                "data": MODEL_FILE,
                "python_version": platform.python_version(),
                "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
            }
        },
        "mlflow_version": VERSION,
        "utc_time_created": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
        "model_size_bytes": path.stat().st_size,
    }
    if inputs:
        described["signature"] = _signature(inputs, manifest)
        example = {"columns": [item["name"] for item in inputs], "data": [[item["example"] for item in inputs]]}
        (folder / EXAMPLE).write_text(json.dumps(example), encoding="utf-8")
        described["saved_input_example_info"] = {
            "artifact_path": EXAMPLE, "type": "dataframe", "pandas_orient": "split", "serving_input_path": None,
        }  # fmt: skip
    environment = {"python": platform.python_version(), "build_dependencies": ["pip"]}
    files = {
        "MLmodel": described,
        "python_env.yaml": {**environment, "dependencies": ["-r requirements.txt"]},
        "conda.yaml": {
            "name": "mlflow-env", "channels": ["conda-forge"],
            "dependencies": [f"python={environment['python']}", "pip", {"pip": requirements}],
        },
    }  # fmt: skip
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=1), encoding="utf-8")  # JSON is YAML
    (folder / "requirements.txt").write_text("\n".join(requirements) + "\n", encoding="utf-8")


def _requirements(manifest: Mapping[str, Any], mlflow: str) -> list[str]:
    version = manifest.get("versions", {}).get("automl-sdk")
    return [f"mlflow=={mlflow}", f"automl-sdk=={version}" if version else "automl-sdk", "pandas"]


def _signature(inputs: list[dict[str, Any]], manifest: Mapping[str, Any]) -> dict[str, str | None]:
    columns = [{"type": item["type"], "name": item["name"], "required": False} for item in inputs]
    answer = "double" if manifest["task"] == "regression" else _label_type(manifest["classes"])
    params = [{"name": "proba", "type": "boolean", "default": False, "shape": None}]
    if manifest["task"] == "regression":
        params = []
    return {
        "inputs": json.dumps(columns),
        "outputs": None if answer is None else json.dumps([{"type": answer, "required": True}]),
        "params": json.dumps(params) if params else None,
    }


def _label_type(classes: list[Any]) -> str | None:
    kinds = {type(label) for label in classes}
    return {bool: "boolean", int: "long", float: "double", str: "string"}[kinds.pop()] if len(kinds) == 1 else None


def _inputs(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return name, MLflow's type, and a typical value of each column that the model learned from."""
    schema = manifest.get("schema") or {}
    return [
        {"name": item["name"], "type": _type(item), "example": _example(item)}
        for item in schema.get("inputs", ())
        if not item.get("dropped")
    ]


def _type(item: Mapping[str, Any]) -> str:
    arrow = str(item["type"])
    if item["kind"] == "boolean":
        return "boolean"
    if item["kind"] == "datetime" and arrow.startswith(("timestamp", "date")):
        return "datetime"
    # A column of whole numbers with a gap comes as floating ones: double takes both.
    return "double" if arrow.startswith(("int", "uint", "float", "double", "half", "decimal")) else "string"


def _example(item: Mapping[str, Any]) -> Any:
    statistics, kind = item.get("statistics") or {}, _type(item)
    edges, levels, examples = (statistics.get(name) or () for name in ("edges", "levels", "examples"))
    if kind == "boolean":
        return (statistics.get("mean") or 0) >= 0.5
    if kind == "double":
        text = levels[0] if levels else None
        return float(edges[len(edges) // 2]) if edges else None if text is None else float(text)
    if kind == "datetime":
        return datetime.fromtimestamp(edges[len(edges) // 2], UTC).replace(tzinfo=None).isoformat() if edges else None
    return levels[0] if levels else examples[0] if examples else None
