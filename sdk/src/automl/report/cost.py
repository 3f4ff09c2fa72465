"""What the model cost, and what it costs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.report.section import Section, Table, number

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from automl.model import Model
    from automl.report.judged import Judged

__all__ = ["cost_section", "size_of", "time_of_row"]

SINGLE, WARM, BATCH = 100, 10, 1000


def size_of(model: Model) -> int:
    """Return the bytes of the model's file."""
    from automl.artifact.save import dump_model

    return len(dump_model(model))


def cost_section(model: Model, judged: Judged | None, *, size: int) -> Section:
    """Tell seconds, memory and size, and measure how long predictions take on this machine."""
    origin: dict[str, Any] = model.info.get("origin", {})
    members = len(model.predictor.parts) + len(model.predictor.opaque)
    facts = {
        "fit": f"{number(model.info.get('seconds'))} s of wall clock" if model.info.get("seconds") else "",
        "most memory of the fitting process": f"{origin['memory'] / 1e6:,.0f} MB" if origin.get("memory") else "",
        "processors": number(origin.get("processors")),
        "file": f"{size / 1e6:.2f} MB",
        "members": f"{members}, {model.predictor.trees:,} trees",
    }
    if judged is not None and judged.table is not None:
        facts |= _latency(model, judged)
    rows = [[name, value] for name, value in facts.items() if value]
    tables = [Table(("what", "how much"), rows), *_beside_teacher(model)]
    text = (
        [] if judged is not None and judged.table is not None else ["Latency is measured where rows are given as data."]
    )
    return Section("Cost", text, tables)


def _beside_teacher(model: Model) -> list[Table]:
    """Return what a distilled model costs, and how good it is, beside its teacher."""
    told: Mapping[str, Any] | None = model.info.get("distilled")
    if told is None:
        return []
    rows = [
        [
            name, number(told[name].get("score"), 5), number(told[name]["microseconds"]),
            f"{told[name]['bytes'] / 1e6:.2f} MB", f"{told[name]['trees']:,}",
        ]
        for name in ("teacher", "student")
    ]  # fmt: skip
    score = f"{told['metric']} on {told['rows']:,} held-out rows" if told["rows"] else "no rows were held out"
    head = ("distilled", score, "µs for a row", "file", "trees")
    return [Table(head, rows, caption="Measured where the student was fitted.")]


def time_of_row(model: Model, rows: pa.Table) -> tuple[float, float]:
    """Return the seconds that the first row takes by itself, measured here: median and 99th percentile."""
    row = {name: value for name, value in rows.slice(0, 1).to_pylist()[0].items() if name in model.names}
    taken = []
    for _ in range(WARM + SINGLE):
        started = time.perf_counter()
        model.predict(row)
        taken.append(time.perf_counter() - started)
    middle, slow = np.quantile(taken[WARM:], [0.5, 0.99])
    return float(middle), float(slow)


def _latency(model: Model, judged: Judged) -> dict[str, str]:
    assert judged.table is not None  # noqa: S101 - the caller has looked
    rows = judged.table.slice(0, BATCH)
    middle, slow = time_of_row(model, rows)
    started = time.perf_counter()
    model.predict(rows)
    each = (time.perf_counter() - started) / rows.num_rows
    return {
        "one row, measured here": f"{middle * 1e6:,.0f} µs median, {slow * 1e6:,.0f} µs at the 99th percentile",
        f"{rows.num_rows:,} rows at once, measured here": f"{each * 1e6:,.1f} µs a row",
    }
