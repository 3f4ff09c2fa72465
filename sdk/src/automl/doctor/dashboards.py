"""Files of Grafana dashboards."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl_core.errors import DataError

__all__ = ["Dashboard", "queries_of", "read_dashboard"]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard as its file has it; `uid` is what Grafana knows it by."""

    file: str
    uid: str
    queries: list[str]


def read_dashboard(file: str) -> Dashboard:
    """Read the file that Grafana exports.

    Raises:
        DataError: it is no dashboard.
    """
    try:
        told = json.loads(Path(file).read_text(encoding="utf-8"))
        return Dashboard(file, str(told.get("uid") or ""), queries_of(told))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{file} is no dashboard: {type(error).__name__}: {error}") from error


def queries_of(dashboard: dict[str, Any]) -> list[str]:
    """Return the queries of all panels, in their order."""
    return [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
