"""A report as one HTML file without any outside part, and as plain data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from automl_drift.quality import violations
from automl_drift.watch import DRIFT, FEW, Finding, Report

__all__ = ["to_html", "to_json"]

WIDTH, HEIGHT = 260, 60
HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Drift report</title><style>
body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222;background:#fff}
table{border-collapse:collapse;width:100%}td,th{padding:.4em .6em;text-align:left;border-bottom:1px solid #ddd}
td.n{text-align:right;font-variant-numeric:tabular-nums}.drift{color:#b00020;font-weight:600}
.ref{fill:#9bb}.cur{fill:#d95f02;fill-opacity:.6}small{color:#666}
</style>
"""


def to_json(report: Report) -> dict[str, Any]:
    """Return the report as lists, dicts, strings and finite numbers or None."""
    return {
        "status": report.status,
        "rows": report.rows,
        "evidence_log10": report.evidence if math.isfinite(report.evidence) else None,
        "drifted": list(report.drifted),
        "features": [_feature(item) for item in report.findings],
    }


def to_html(report: Report, *, reference: str, current: str) -> str:
    """Return a page with the verdict, and each feature with both distributions, by falling impact.

    Args:
        reference, current: what the two tables are called.
    """
    rows = "\n".join(_row(item) for item in report.findings)
    return (
        f"{HEAD}<h1>Drift report</h1><p><b>{escape(_verdict(report))}</b></p>"
        f"<p>{report.rows} rows of {escape(current)} against {escape(reference)}.</p>"
        "<table><thead><tr><th>Feature<th>Verdict<th>Effect<th>Impact<th>PSI<th>Evidence<th>Faults<th>"
        '<svg width="10" height="10"><rect class="ref" width="10" height="10"/></svg> reference '
        '<svg width="10" height="10"><rect class="cur" width="10" height="10"/></svg> current</tr></thead>'
        f"<tbody>\n{rows}\n</tbody></table>"
        "<p><small>Effect: the largest difference of cumulative shares (numbers) or half the sum of differences of shares "
        "(categories), less what chance alone gives. Impact: effect times importance. Evidence: the logarithm to base 10 "
        "of a sum that has to exceed twice the rows between false alarms. Faults: how many more rows than in the reference are "
        "missing, of an unseen level or out of range. Rows are assumed to be independent of their "
        "order. Features are looked at one by one: a change of how they go together is not seen here.</small></p></html>\n"
    )


def _verdict(report: Report) -> str:
    if report.status == FEW:
        return f"Not enough data: {report.rows} rows allow no verdict."
    if report.status != DRIFT:
        return "No drift: no feature changed by more than the tolerance with enough evidence."
    names = report.drifted
    told = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"Drift in {len(names)} of {len(report.findings)} features: {told}."


def _feature(item: Finding) -> dict[str, Any]:
    return {
        "name": item.profile.name,
        "status": item.status,
        "effect": item.effect,
        "impact": item.impact,
        "psi": item.psi,
        "jensen_shannon": item.jensen_shannon,
        "evidence_log10": item.evidence,
        "violations": violations(item),
        "bins": list(item.profile.labels),
        "reference": item.profile.counts.tolist(),
        "current": item.counts.tolist(),
    }


def _row(item: Finding) -> str:
    kind = ' class="drift"' if item.status == DRIFT else ""
    numbers = (item.effect, item.impact, item.psi, item.evidence)
    cells = "".join(f'<td class="n">{number:.3g}</td>' for number in numbers)
    said = [f"{share:.0%} {check.replace('_', ' ')}" for check, share in violations(item).items() if share >= 0.005]
    cells += f"<td>{', '.join(said)}</td>"
    return f"<tr><td>{escape(item.profile.name)}</td><td{kind}>{item.status}</td>{cells}<td>{_plot(item)}</td></tr>"


def _plot(item: Finding) -> str:
    labels = item.profile.labels
    both = [_shares(item.profile.counts.tolist()), _shares(item.counts.tolist())]
    kept = [i for i in range(len(labels)) if both[0][i] or both[1][i]]
    highest = max((max(shares) for shares in both), default=0) or 1
    step = WIDTH / max(len(kept), 1)
    bars = []
    for place, i in enumerate(kept):
        title = f"<title>{escape(labels[i])}: {both[0][i]:.1%} to {both[1][i]:.1%}</title>"
        for kind, shares in zip(("ref", "cur"), both, strict=True):
            tall = HEIGHT * shares[i] / highest
            box = f'x="{place * step:.1f}" y="{HEIGHT - tall:.1f}" width="{step * 0.9:.1f}" height="{tall:.1f}"'
            bars.append(f'<rect class="{kind}" {box}>{title if kind == "cur" else ""}</rect>')
    return f'<svg width="{WIDTH}" height="{HEIGHT}" role="img">{"".join(bars)}</svg>'


def _shares(counts: Sequence[float]) -> list[float]:
    total = sum(counts) or 1
    return [count / total for count in counts]
