"""The page as a whole."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from automl.report.again import again_section
from automl.report.cost import cost_section, size_of
from automl.report.groups import groups_section
from automl.report.judged import OUT_OF_FOLD, judge, known_metric
from automl.report.quality import doubts, quality_section
from automl.report.relies import relies_section
from automl.report.section import number
from automl.report.table_of import data_section
from automl.report.tried import tried_section
from automl.report.wrong import wrong_section
from automl_core import BINARY, MULTICLASS, REGRESSION, ComponentUnavailable, DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from automl.model import Model
    from automl.report.judged import Judged
    from automl.report.section import Section

__all__ = ["render_report", "write_report"]

KINDS = {BINARY: "classification, two classes", MULTICLASS: "classification", REGRESSION: "regression"}
LIBRARIES = frozenset({"jinja2", "matplotlib", "pyarrow", "sklearn"})


def write_report(
    model: Model,
    path: str | os.PathLike[str],
    *,
    data: Any = None,
    groups: Sequence[str] = (),
    sample: pa.Table | None = None,
) -> None:
    """Write the page to a file, atomically, or to a URI by fsspec; see `Model.report`."""
    from automl.artifact.place import write_bytes

    write_bytes(path, render_report(model, data=data, groups=groups, sample=sample).encode())


def render_report(model: Model, *, data: Any = None, groups: Sequence[str] = (), sample: pa.Table | None = None) -> str:
    """Return the page as HTML; see `Model.report`.

    Args:
        sample: the rows of the model's evidence, where the caller has them.

    Raises:
        DataError: the data cannot be read or has no target, or a group is no column of it.
        ComponentUnavailable: a library that reports need is not installed.
    """
    if isinstance(groups, str):
        raise DataError(f"groups is the text {groups!r}: give a list of columns, such as [{groups!r}].")
    try:
        from jinja2 import Environment, PackageLoader

        sections, judged, size = _sections(model, data, groups, sample)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in LIBRARIES:
            raise
        raise ComponentUnavailable(
            f"a report needs {error.name}, which is not installed: pip install 'automl-sdk[report]'"
        ) from error
    # Names of columns and classes come from outside: everything is escaped but our own drawings.
    environment = Environment(
        loader=PackageLoader("automl.report", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html").render(
        title=f"Predicting {model.target}",
        what=KINDS[model.task],
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        tiles=_tiles(model, judged, size),
        doubts=doubts(model, judged),
        sections=sections,
    )


def _sections(
    model: Model, data: Any, groups: Sequence[str], sample: pa.Table | None
) -> tuple[list[Section], list[Judged], int]:
    judged = judge(model, data, sample=sample)
    last, size = (judged[-1] if judged else None), size_of(model)
    fairness = [groups_section(last, groups)] if groups else []  # first, as it may be refused
    sections = [
        quality_section(model, judged),
        tried_section(model),
        relies_section(model, None if last is None else last.sample()),
        data_section(model, judged[0] if judged else None),
    ]
    if last is not None:
        sections.append(wrong_section(last))
    return [*sections, *fairness, cost_section(model, last, size=size), again_section(model)], judged, size


def _tiles(model: Model, judged: Sequence[Judged], size: int) -> list[tuple[str, str, str]]:
    """Return what is seen first: a name, a figure, and what it is of."""
    metric, tiles = known_metric(model), []
    for part in judged:
        score = part.score(metric)
        spread = "" if score.low is None or score.high is None else f"95 %: {number(score.low)} to {number(score.high)}"
        tiles.append((f"{metric.name}, {part.name}", number(score.value), spread))
    chosen = model.info.get("scores", {}).get("out_of_fold")
    if not any(part.name == OUT_OF_FOLD for part in judged) and chosen is not None:
        tiles.insert(0, (f"{model.metric}, {OUT_OF_FOLD}", number(chosen), ""))
    if (later := model.info.get("scores", {}).get("held_out")) is not None:
        tiles.append((f"{model.metric}, held out", number(later), f"of {model.info['held_out_rows']:,} rows"))
    trials = sum(row["name"] != "ensemble" for row in model.leaderboard())
    rows, seconds = model.info.get("rows"), model.info.get("seconds")
    tiles.append(("rows", number(rows, 7), f"{len(model.names)} columns"))
    tiles.append(("trials", number(trials), f"in {number(seconds, 3)} s" if seconds else ""))
    tiles.append(
        ("model", f"{size / 1e6:.2f} MB", f"{model.predictor.trees:,} trees" if model.predictor.trees else "no trees")
    )
    return tiles
