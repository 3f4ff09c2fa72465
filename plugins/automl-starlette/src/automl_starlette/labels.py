"""The truth of earlier requests, as it comes over the wire."""

from __future__ import annotations

from typing import Any

from automl_starlette.decoding import parse_json
from automl_starlette.problems import Problem

__all__ = ["read_labels"]

FORM = 'labels are {"request_id": ..., "truth": ...}, or a list of such; "truth" is a value, or a list of one per row.'


def read_labels(body: bytes) -> dict[str, Any]:
    """Return the truth by request id; of two for one id the first.

    Raises:
        Problem: the body is no such JSON.
    """
    said = parse_json(body)
    truths: dict[str, Any] = {}
    for item in said if isinstance(said, list) else [said]:
        if (
            not isinstance(item, dict)
            or set(item) != {"request_id", "truth"}
            or not isinstance(item["request_id"], str)
        ):
            raise Problem(400, FORM)
        truths.setdefault(item["request_id"], item["truth"])
    return truths
