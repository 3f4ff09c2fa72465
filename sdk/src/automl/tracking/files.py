"""What trackers keep of a study besides its trials."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from automl.artifact.save import plain
from automl.prepare import to_model

if TYPE_CHECKING:
    from automl.prepare import Prepared
    from automl.study.problem import Outcome

__all__ = ["write_files"]


def write_files(table: Prepared, outcome: Outcome, folder: Path) -> list[Path]:
    """Write the model and the leaderboard into a folder, and return the files.

    Raises:
        DataError: the model has a member that no file can hold.
    """
    model, leaderboard = folder / "model.automl", folder / "leaderboard.json"
    to_model(table, outcome).save(model)
    leaderboard.write_text(json.dumps(plain(list(outcome.leaderboard)), indent=1), encoding="utf-8")
    return [model, leaderboard]
