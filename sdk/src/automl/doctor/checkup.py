"""Every check, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from automl.doctor.asked import Asked
from automl.doctor.cluster import check_cluster
from automl.doctor.grafana import check_grafana
from automl.doctor.machine import check_clock, check_machine
from automl.doctor.parts import check_parts
from automl.doctor.people import left_to_people
from automl.doctor.prometheus import check_prometheus
from automl.doctor.recovery import check_recovery
from automl.doctor.safety import check_safety
from automl.doctor.serving import check_model, check_server
from automl_core.diagnosis import FAILED, Finding
from automl_core.errors import AutoMLError

__all__ = ["examine"]


def examine(asked: Asked) -> Iterator[Finding]:
    """Yield what is found, as it is found; a check that breaks is a finding of its own."""
    checks: dict[str, Callable[[Asked], Iterable[Finding]]] = {
        "machine": check_machine,
        "components": check_parts,
        "secrets": check_safety,
        "model": check_model,
        "server": check_server,
        "Prometheus": check_prometheus,
        "Grafana": check_grafana,
        "Kubernetes": check_cluster,
        "clock": check_clock,
        "backup": check_recovery,
        "people": left_to_people,
    }
    for name, check in checks.items():
        yield from _guarded(name, partial(check, asked))


def _guarded(name: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except AutoMLError as error:
        yield Finding(name, FAILED, str(error))
    except Exception as error:  # noqa: BLE001 - any library may answer here, and the other checks go on
        yield Finding(
            name, FAILED, f"the check itself failed: {type(error).__name__}: {error}", "Report this as a bug."
        )
