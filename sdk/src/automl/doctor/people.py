"""What no program can know: said, with the place where people write it down."""

from __future__ import annotations

from collections.abc import Iterator

from automl.doctor.asked import Asked
from automl_core.diagnosis import BY_HAND, Finding

__all__ = ["left_to_people"]


def left_to_people(_: Asked) -> Iterator[Finding]:
    """Yield the lines of the guide's checklist that people answer for."""
    yield Finding(
        "disaster recovery",
        BY_HAND,
        "was a recovery of all of it tried this quarter?",
        "deploy/README.md#disaster-recovery",
    )
    yield Finding("on-call", BY_HAND, "is somebody on call, and was a page tried?", "deploy/README.md#on-call")
    yield Finding("load test", BY_HAND, "did it hold the traffic that you expect?", "deploy/README.md#capacity")
