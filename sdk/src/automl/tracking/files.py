"""What trackers keep of a study besides its trials."""

from __future__ import annotations

import csv
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
    """Write the model, and the leaderboard as JSON and CSV, into a folder, and return the files.

    In the CSV, params are JSON, and what a row lacks is empty.

    Raises:
        DataError: the model has a member that no file can hold.
    """
    model, leaderboard, sheet = (folder / name for name in ("model.automl", "leaderboard.json", "leaderboard.csv"))
    to_model(table, outcome).save(model)
    rows = plain(list(outcome.leaderboard))
    leaderboard.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with sheet.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for row in rows:
            writer.writerow({k: json.dumps(v) if isinstance(v, dict) else v for k, v in row.items()})
    return [model, leaderboard, sheet]
