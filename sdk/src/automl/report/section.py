"""What a page is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Figure", "Section", "Table", "number"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing. `svg` is one `<svg>` element; `caption` is text."""

    svg: str
    caption: str


@dataclass(frozen=True, slots=True)
class Table:
    """Cells of text under a heading; columns from `numbers` on are numbers, and stand at the right."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: int = 1
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the page: text, then tables, figures and code, each in the order given."""

    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    code: Sequence[str] = ()

    @property
    def anchor(self) -> str:
        return self.title.lower().replace(" ", "-")


def number(value: Any, digits: int = 4) -> str:
    """Return a number as people read it; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return "not finite"
    if abs(value) >= 10**digits:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"
