from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Package:
    """One distribution of this repository, and its pyproject."""

    folder: Path
    project: dict[str, Any]

    @property
    def source(self) -> Path:
        (found,) = (path for path in (self.folder / "src").iterdir() if not path.name.endswith(".egg-info"))
        return found

    @property
    def modules(self) -> list[str]:
        """The entry modules of its plugins."""
        return sorted(set(self.project.get("entry-points", {}).get("automl", {}).values()))


def read_packages(*patterns: str) -> list[Package]:
    folders = sorted(path.parent for pattern in patterns for path in ROOT.glob(f"{pattern}/pyproject.toml"))
    return [Package(folder, tomllib.loads((folder / "pyproject.toml").read_text())["project"]) for folder in folders]
