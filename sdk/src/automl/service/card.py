"""What a person or a client wants to know of a model: plain data for cards, forms and schemas."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from automl.schema import BOOLEAN, CATEGORY, DATETIME, NUMBER
from automl_core import AutoMLError

if TYPE_CHECKING:
    from automl.model import Model
    from automl.schema import Input
    from automl.service.served import Served

__all__ = ["describe_inputs", "describe_model", "example_row"]

LEVELS = 50


def example_row(model: Model) -> dict[str, Any]:
    """Return a typical row of the training table; empty where the model was not described."""
    if model.schema is None:
        return {}
    known = {item.name: item for item in model.schema.inputs}
    return {name: _example(known[name]) if name in known else None for name in model.names}


def describe_inputs(model: Model) -> list[dict[str, Any]]:
    """Return each input's name, kind, range or levels, and an example."""
    if model.schema is None:
        return [{"name": name, "kind": NUMBER, "example": None} for name in model.names]
    known = {item.name: item for item in model.schema.inputs}
    return [_describe(known[name]) for name in model.names if name in known]


def describe_model(served: Served) -> dict[str, Any]:
    """Return the model's card."""
    model, info = served.model, served.model.info
    rows = None if model.schema is None else model.schema.rows
    best = next(iter(model._leaderboard), {})
    return {
        "name": served.name,
        "version": served.version,
        "task": model.task,
        "target": model.target,
        "metric": model.metric,
        "score": best.get("score"),
        "classes": model.classes_.tolist(),
        "threshold": model.threshold,
        "rows": rows,
        "trees": model.predictor.trees,
        "members": len(model.predictor.parts) + len(model.predictor.opaque),
        "created": info.get("created"),
        "loaded": datetime.fromtimestamp(served.loaded, UTC).isoformat(timespec="seconds"),
        "inputs": describe_inputs(model),
        "importance": _importance(model),
        "microseconds": round(1e6 * served.one, 1),
    }


def _importance(model: Model) -> dict[str, float]:
    try:
        return model.feature_importance()
    except AutoMLError:  # a member that does not tell
        return {}


def _describe(item: Input) -> dict[str, Any]:
    statistics, told = item.statistics, {"name": item.name, "kind": item.kind, "example": _example(item)}
    told["missing"] = statistics.missing
    if item.kind == NUMBER:
        told |= {"minimum": statistics.minimum, "maximum": statistics.maximum, "integer": "int" in item.type}
    elif item.kind == CATEGORY:
        told |= {"levels": list(statistics.levels[:LEVELS]), "more": statistics.distinct > LEVELS}
    return told


def _example(item: Input) -> Any:
    statistics = item.statistics
    if item.kind == NUMBER and statistics.edges:
        middle = statistics.edges[len(statistics.edges) // 2]
        return int(middle) if "int" in item.type else middle
    if item.kind == BOOLEAN:
        return (statistics.mean or 0) >= 0.5
    if item.kind == CATEGORY and statistics.levels:
        level = statistics.levels[0]
        return int(level) if "int" in item.type and level.lstrip("-").isdigit() else level
    if item.kind == DATETIME and statistics.edges:
        middle = statistics.edges[len(statistics.edges) // 2]
        return datetime.fromtimestamp(middle, UTC).replace(tzinfo=None).isoformat()
    return statistics.examples[0] if statistics.examples else None
