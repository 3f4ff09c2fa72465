"""A report as metrics in Prometheus's text format."""

from __future__ import annotations

import math

from automl_drift.estimates import Estimate
from automl_drift.quality import violations
from automl_drift.scored import Scored
from automl_drift.watch import DRIFT, FEW, Report

__all__ = ["METRICS", "exposition"]

MOST_FEATURES = 200  # by impact: each is a series of its own
METRICS = {
    "automl_drift_alarm": "1 while the model drifts, 0 while it does not, absent without enough data.",
    "automl_drift_rows": "Rows compared with the reference.",
    "automl_drift_features_alarmed": "How many features drifted.",
    "automl_drift_score": "How far a feature is from its reference, 0 to 1.",
    "automl_drift_impact_score": "A feature's drift times its importance.",
    "automl_drift_evidence_log10": "Evidence of a feature's drift; 0 and below is none.",
    "automl_data_quality_violation_ratio": "Recent rows that fail a check of a feature, beyond the reference's share.",
    "automl_performance_alarm": "1 once labels show that the model does worse than allowed, absent without a baseline.",
    "automl_performance_score": "Score of the latest labelled rows.",
    "automl_performance_baseline": "Score on rows that were held out of the fit.",
    "automl_performance_rows": "Labelled rows so far.",
    "automl_performance_estimate": "Score that recent rows let expect without labels.",
    "automl_performance_estimate_low": "Lower end of its 95 % interval.",
    "automl_performance_estimate_high": "Upper end of its 95 % interval.",
    "automl_performance_estimate_trusted": "0 where rows are unlike the reference, or labels say otherwise, else 1.",
}


def exposition(
    model: str,
    version: str,
    report: Report | None,
    scored: Scored | None = None,
    estimate: Estimate | None = None,
    metric: str = "",
) -> str:
    """Return the gauges of one model, with a head for each metric.

    Args:
        metric: what `estimate` is of.
    """
    own = f'model="{_escape(model)}",version="{_escape(version)}"'
    samples: dict[str, list[str]] = {name: [] for name in METRICS}
    if report is not None:
        _add_drift(samples, own, report)
    if scored is not None:
        measured = f'{{{own},metric="{_escape(scored.metric)}"}}'
        samples["automl_performance_alarm"].append(f"{{{own}}} {int(scored.degraded)}")
        samples["automl_performance_baseline"].append(f"{measured} {scored.baseline:.6g}")
        samples["automl_performance_rows"].append(f"{{{own}}} {scored.rows}")
        if scored.rows:
            samples["automl_performance_score"].append(f"{measured} {scored.score:.6g}")
    if estimate is not None:
        measured, name = f'{{{own},metric="{metric}"}}', "automl_performance_estimate"
        for end, value in (("", estimate.value), ("_low", estimate.low), ("_high", estimate.high)):
            samples[name + end].append(f"{measured} {value:.6g}")
        samples[f"{name}_trusted"].append(f"{measured} {int(estimate.trusted)}")
    lines = []
    for name, found in samples.items():
        if found:
            lines += [f"# HELP {name} {METRICS[name]}", f"# TYPE {name} gauge"]
            lines += [f"{name}{sample}" for sample in found]
    return "\n".join(lines) + "\n"


def _add_drift(samples: dict[str, list[str]], own: str, report: Report) -> None:
    if report.status != FEW:
        samples["automl_drift_alarm"].append(f"{{{own}}} {int(report.status == DRIFT)}")
    samples["automl_drift_rows"].append(f"{{{own}}} {report.rows}")
    samples["automl_drift_features_alarmed"].append(f"{{{own}}} {len(report.drifted)}")
    for item in report.findings[:MOST_FEATURES]:
        labels = f'{{{own},feature="{_escape(item.profile.name)}"}}'
        samples["automl_drift_score"].append(f"{labels} {item.effect:.6g}")
        samples["automl_drift_impact_score"].append(f"{labels} {item.impact:.6g}")
        evidence = item.evidence if math.isfinite(item.evidence) else -99.0
        samples["automl_drift_evidence_log10"].append(f"{labels} {evidence:.6g}")
        for check, share in violations(item).items():
            samples["automl_data_quality_violation_ratio"].append(f'{labels[:-1]},check="{check}"}} {share:.6g}')


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
