"""Drawings as SVG that a page can hold side by side, without any outside part."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from automl.report.section import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["BLUE", "COLOURS", "GREY", "ORANGE", "Drawing", "drawing", "shorten"]

# Okabe and Ito (2008): told apart by people with any kind of colour vision, and in print.
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#8a8f98"
COLOURS = (BLUE, ORANGE, "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be searched, copied and read aloud
    "text.parse_math": False,  # a column may be called $a$
    "font.family": "sans-serif", "font.size": 9, "axes.titlesize": 9,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#555", "axes.grid": True,
    "grid.color": "#e6e8eb", "grid.linewidth": 0.7, "axes.axisbelow": True, "legend.frameon": False,
    "axes.labelcolor": "#333", "xtick.color": "#555", "ytick.color": "#555", "lines.linewidth": 1.6,
}  # fmt: skip
WIDTH, HEIGHT = 4.3, 3.1  # inches: a phone's width, so that text keeps its size there
UNSEEN = re.compile(r' id="([^"]*)"')
NAMED = re.compile(r"#([\w-]+)")
FONT = re.compile(r"'DejaVu Sans'[^;\"]*")


class Drawing:
    """Axes to draw on, and afterwards the figure."""

    def __init__(self, axes: Axes, caption: str) -> None:
        self.axes, self.caption = axes, caption
        self.figure = Figure("", caption)


@contextmanager
def drawing(caption: str, *, height: float = HEIGHT) -> Iterator[Drawing]:
    """Yield a drawing with empty axes; its `figure` is there once the context is left."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    style: Any = STYLE | {"svg.hashsalt": caption}  # its names are literals to matplotlib

    with mpl.rc_context(style), warnings.catch_warnings():
        # The page's reader has the font that the machine which measures the text may lack.
        warnings.filterwarnings("ignore", message="Glyph")
        canvas = Canvas(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasSVG(canvas)
        made = Drawing(canvas.add_subplot(), caption)
        yield made
        buffer = io.StringIO()
        canvas.savefig(
            buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
        made.figure = Figure(_tidy(buffer.getvalue()), caption)


def _tidy(svg: str) -> str:
    """Return the `<svg>` element alone, in the page's font, with no name that another one may have as well."""
    svg = svg[svg.index("<svg") :]
    named = set(NAMED.findall(svg))
    svg = UNSEEN.sub(lambda found: found.group() if found.group(1) in named else "", svg)
    return FONT.sub("sans-serif", svg).strip()


def shorten(text: Any, size: int = 24) -> str:
    """Return text for an axis or a cell, cut where it is long."""
    plain = " ".join(str(text).split())
    return plain if len(plain) <= size else f"{plain[: size - 1]}…"
