"""The OpenAPI document, with the model's own columns and examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["describe_api"]

TYPES = {"number": "number", "boolean": "boolean"}
LABELS = {bool: "boolean", int: "integer", float: "number", str: "string"}
ERRORS = {
    "400": "The body is malformed, or the model cannot take it.",
    "401": "A key is needed.",
    "404": "There is no such model or version.",
    "413": "Too many bytes or rows.",
    "415": "The content type or encoding is not known.",
    "503": "A file or service behind this one does not answer.",
    "429": "Too much waits already; see Retry-After.",
    "504": "The prediction took longer than the deadline.",
}


def describe_api(card: dict[str, Any], *, names: Sequence[str], labels: bool) -> dict[str, Any]:
    """Return the document for the model of a card.

    Args:
        names: of all models in service. labels: whether the service takes labels.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Predictions of {card['target']}",
            "version": str(card["version"]),
            "description": f"A {card['task']} model of {card['target']!r}, trained on {card['rows'] or 'unknown'} rows.",
        },
        "security": [{}, {"key": []}, {"bearer": []}],
        "paths": {
            "/predict": {"post": _predict("predict", "Predict rows", card, names)},
            "/predict_proba": {"post": _predict("predict_proba", "Predict rows with probabilities", card, names)},
            "/explain": {"post": _explain(card, names)},
            **({"/labels": {"post": _labels()}} if labels else {}),
            "/models": {"get": _get("models", "List models and versions", {"type": "array"})},
            "/models/{name}": {
                "get": {**_get("model", "Describe a model", {"type": "object"}), "parameters": [_name(names)]}
            },
            "/metrics": {"get": _metrics()},
            "/health/live": {"get": _get("live", "Tell whether the server runs", {"type": "object"})},
            "/health/ready": {
                "get": {**_get("ready", "Tell whether it may get requests", {"type": "object"}, also=503)}
            },
        },
        "components": {
            "schemas": {"Row": _row(card), "Error": _error()},
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _row(card: dict[str, Any]) -> dict[str, Any]:
    columns = {item["name"]: _column(item) for item in card["inputs"]}
    return {"type": "object", "properties": columns, "required": list(columns), "additionalProperties": True}


def _column(item: dict[str, Any]) -> dict[str, Any]:
    kind = TYPES.get(item["kind"], "string")
    told: dict[str, Any] = {"type": [kind, "null"], "examples": [item["example"]]}
    if item["kind"] == "category":
        told["type"] = ["string", "number", "boolean", "null"]
        told["description"] = "Known levels: " + ", ".join(item["levels"]) + (", ..." if item["more"] else "") + "."
    elif item["kind"] == "text":
        told["type"] = ["string", "number", "boolean", "null"]
    elif item["kind"] == "datetime":
        # No format: a date alone and an empty text, which counts as missing, are taken too.
        told["description"] = "A date, or date and time, in ISO 8601."
        told["type"] = ["string", "null"]
    elif item["kind"] == "number" and item.get("minimum") is not None:
        told["description"] = f"In training from {item['minimum']:g} to {item['maximum']:g}."
    return told


def _predict(operation: str, summary: str, card: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    row = {"$ref": "#/components/schemas/Row"}
    example = {item["name"]: item["example"] for item in card["inputs"]}
    said: dict[str, Any] = {
        "predictions": {"type": "array", "items": _label(card)},
        "probabilities": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
        "classes": {"type": "array"},
        "model": {"type": "string"},
        "version": {"type": "string"},
    }
    body = {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"anyOf": [row, {"type": "array", "items": row, "minItems": 1}]},
                "examples": {"row": {"value": example}, "rows": {"value": [example, example]}},
            }
        },
    }
    answer = {"type": "object", "properties": said, "required": ["predictions", "model", "version"]}
    return {
        "operationId": operation,
        "summary": summary,
        "parameters": [
            _query("model", {"type": "string", "enum": ["", *names]}),  # empty, as left out: the default
            _query("version", {"type": "string"}),
            *([] if "proba" in operation else [_query("proba", {"type": "boolean"})]),
        ],
        "requestBody": body,
        "responses": {"200": _json("The predictions, in the order of the rows.", answer), **_errors()},
    }


def _explain(card: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    told = _predict("explain", "Say what each column adds to a prediction", card, names)
    told["parameters"] = told["parameters"][:2]
    numbers = {"type": "object", "additionalProperties": {}}
    said = {"contributions": {"type": "array", "items": numbers}, "base": {"type": "array"}}
    answer = {"type": "object", "properties": said, "required": ["contributions", "base", "predictions"]}
    told["responses"]["200"] = _json("Contributions by column; with the base they sum to the prediction.", answer)
    return told


def _labels() -> dict[str, Any]:
    item = {
        "type": "object",
        "properties": {"request_id": {"type": "string", "description": "The X-Request-ID of the answer."}, "truth": {}},
        "required": ["request_id", "truth"],
        "additionalProperties": False,
    }
    schema = {"anyOf": [item, {"type": "array", "items": item}]}
    example = {"request_id": "order-17", "truth": 1}
    body = {"application/json": {"schema": schema, "examples": {"label": {"value": example}}}}
    said = {"type": "object", "additionalProperties": {"type": "integer"}}
    return {
        "operationId": "labels",
        "summary": "Say what was true of earlier requests",
        "requestBody": {"required": True, "content": body},
        "responses": {"200": _json("How many were joined, wait, or came twice.", said), **_errors()},
    }


def _label(card: dict[str, Any]) -> dict[str, Any]:
    if not card["classes"]:
        return {"type": "number"}
    return {"enum": card["classes"]}


def _get(operation: str, summary: str, schema: dict[str, Any], *, also: int = 404) -> dict[str, Any]:
    other = {str(also): _json("Not ready." if also == 503 else ERRORS["404"], {"type": "object"})}
    return {
        "operationId": operation,
        "summary": summary,
        "responses": {"200": _json(summary, schema), "401": _json(ERRORS["401"], _error_ref()), **other},
    }


def _metrics() -> dict[str, Any]:
    text = {"description": "Counts", "content": {"text/plain": {"schema": {"type": "string"}}}}
    refused = _json(ERRORS["401"], _error_ref())
    return {"operationId": "metrics", "summary": "Counts for Prometheus", "responses": {"200": text, "401": refused}}


def _errors() -> dict[str, Any]:
    return {status: _json(told, _error_ref()) for status, told in ERRORS.items()}


def _error_ref() -> dict[str, Any]:
    return {"$ref": "#/components/schemas/Error"}


def _error() -> dict[str, Any]:
    texts = {"error": {"type": "string"}, "request_id": {"type": "string"}}
    return {"type": "object", "properties": texts, "required": ["error"]}


def _json(told: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": told, "content": {"application/json": {"schema": schema}}}


def _query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema}


def _name(names: Sequence[str]) -> dict[str, Any]:
    return {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "enum": list(names)}}
