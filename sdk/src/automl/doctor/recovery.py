"""The newest backup, restored as a drill: what cannot be read back was never saved."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from automl.doctor.asked import Asked
from automl_core.diagnosis import ABSENT, FAILED, OK, WARNING, Finding
from automl_core.errors import AutoMLError

__all__ = ["check_recovery"]

CHECK, RUNBOOK = "backup", "deploy/README.md#disaster-recovery"
OLD = timedelta(hours=26)  # a nightly one that was late; at most a day is to be lost


def check_recovery(asked: Asked) -> Iterator[Finding]:
    """Restore the backup to a folder that is deleted again, and load the model in service from it."""
    if not asked.backup:
        yield Finding(
            CHECK, ABSENT, "no backup is named", f"automl backup FILE, automl doctor --backup FILE; {RUNBOOK}"
        )
        return
    place = Path(asked.backup)
    file = max(place.iterdir(), key=lambda path: path.stat().st_mtime, default=place) if place.is_dir() else place
    if not file.is_file():
        yield Finding(CHECK, FAILED, f"there is no backup at {place}", f"automl backup FILE, by cron; {RUNBOOK}")
        return
    try:
        yield _drill(asked, file)
    except (AutoMLError, OSError, KeyError) as error:
        yield Finding(CHECK, FAILED, str(error), f"Make a new one, and see why; {RUNBOOK}")


def _drill(asked: Asked, file: Path) -> Finding:
    from automl.backup import restore, time_of

    with tempfile.TemporaryDirectory(prefix="automl-drill-") as folder:
        directory = Path(folder, "restored")
        count = restore(file, directory)
        said = f"the {count} files of {file.name} can be restored"
        if asked.model.startswith("models:") and "journal" in asked.settings.trackers:
            _load(asked, directory)
            said += f", and {asked.model} loads from them"
    age = datetime.now(UTC) - time_of(file)
    said += f"; it is {age / timedelta(hours=1):.0f} hours old"
    return (
        Finding(CHECK, WARNING, said, f"Run automl backup every night; {RUNBOOK}")
        if age > OLD
        else Finding(CHECK, OK, said)
    )


def _load(asked: Asked, directory: Path) -> None:
    from automl.service.service import PredictionService
    from automl_core import Plugins

    told = {"directory": str(directory), "trackers": ("journal",)}
    PredictionService(Plugins(asked.settings.model_copy(update=told))).add(asked.model)
