"""Faults of a feed: values that are missing, of unseen levels, or out of range more often than in the reference."""

from __future__ import annotations

from automl_drift.watch import Finding

__all__ = ["violations"]


def violations(finding: Finding) -> dict[str, float]:
    """Return by check how much larger the share of recent rows is than the reference's, 0 to 1; empty without rows.

    Checks are "missing" (what is not finite or cannot be read included); for levels "unseen", those too rare to count on
    their own included; for numbers and lengths of texts "out_of_range". Dates go on: those after the last one are no fault.
    Nor are new words of texts, the missing ones of which are counted with the lengths.
    """
    total = float(finding.counts.sum())
    profile = finding.profile
    if not total or profile.kind == "words":
        return {}
    excess = (finding.counts / total - profile.counts / profile.rows).tolist()
    found = {"missing": excess[-1]}
    if profile.edges is None:
        found["unseen"] = excess[-2]
    elif profile.kind != "datetime":
        found["out_of_range"] = excess[0] + excess[-2]
    return {check: max(0.0, share) for check, share in found.items()}
