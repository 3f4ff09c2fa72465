"""The page about a model, which the engine's own command writes: a process, as it loads what draws and what fits.

Its drawings are SVG within the page; they become files of their own, which MLflow shows beside those of other runs.
"""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

from automl_mlflow.flavour import read_manifest

__all__ = ["write_drawings", "write_report"]

PROGRAM = ("-P", "-m", "automl", "report")
LONGEST = 600.0  # seconds
DRAWING = re.compile(r"<figcaption>(.*?)</figcaption>\s*(<svg\b.*?</svg>)", re.DOTALL)
NAME = 60  # characters
log = logging.getLogger("automl.mlflow")


def write_report(model: Path, page: Path) -> bool:
    """Write the page, and tell whether there is one: not of a foreign model, nor without the sdk's extra `report`."""
    if not read_manifest(model):
        return False
    command = [sys.executable, *PROGRAM, str(model), "--out", str(page)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST)
    except (OSError, subprocess.TimeoutExpired) as error:
        log.info("the study has no report in MLflow: %s", error)
        return False
    if done.returncode:
        log.info("the study has no report in MLflow: %s", done.stderr.strip().rpartition("\n")[2])
    return done.returncode == 0


def write_drawings(page: Path, folder: Path) -> None:
    """Write each drawing of a page as an SVG file, in the page's order, named by its caption."""
    folder.mkdir()
    for number, (caption, svg) in enumerate(DRAWING.findall(page.read_text(encoding="utf-8")), 1):
        words = re.sub(r"[^a-z0-9]+", "-", unescape(caption).lower())[:NAME].strip("-")
        (folder / f"{number:02}-{words}.svg").write_text(svg, encoding="utf-8")
