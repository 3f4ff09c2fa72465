"""Drift between a model or a table and a later table."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from automl_core.errors import DataError, PluginError

__all__ = ["drift_report"]

MODEL = ".automl"


def drift_report(reference: str, current: str, *, level: float = 0.01) -> tuple[dict[str, Any], str]:
    """Compare a later table with the table that a model was trained on, or with another table.

    Args:
        reference: a saved model, or a path or URI of a table.
        current: a path or URI of a table.
        level: the chance of calling any drift where there is none, for all columns together.

    Returns:
        The report as plain data, and as a page of HTML.

    Raises:
        DataError: a table cannot be read, or the model has no schema.
        PluginError: the drift plugin is not installed.
    """
    compare, page = _plugin("automl_drift.compare"), _plugin("automl_drift.page")
    from automl.table import open_table

    schema, importances = _describe(reference)
    table = open_table(current)
    columns = {name: table[name].to_pylist() for name in table.column_names}
    report = compare.compare(schema, columns, importances=importances, level=level)
    return page.to_json(report), page.to_html(report, reference=reference, current=current)


def _describe(reference: str) -> tuple[dict[str, Any], dict[str, float] | None]:
    if Path(reference).suffix == MODEL:
        from automl.artifact import load_model

        model = load_model(reference)
        if model.schema is None:
            raise DataError(f"{reference} has no description of its training table; compare with the table itself.")
        return model.schema.to_json(), model.feature_importance()
    from automl.schema import describe
    from automl.table import open_table

    return describe(open_table(reference)).to_json(), None


def _plugin(module: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "automl_drift":
            raise
        raise PluginError("drift needs a plugin that is not installed: pip install 'automl-sdk[drift]'") from error
