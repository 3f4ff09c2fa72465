"""The error tree: everything the engine raises on purpose is an AutoMLError."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "AutoMLError",
    "BudgetError",
    "ComponentUnavailable",
    "DataError",
    "PluginError",
    "SettingsError",
    "did_you_mean",
]


class AutoMLError(Exception):
    """Say what happened, to which thing, and what to do about it."""


class SettingsError(AutoMLError, ValueError):
    """A setting is unknown, has a wrong value, or contradicts another one."""


class PluginError(AutoMLError):
    """A selected plugin is missing, broken, incompatible or ambiguous."""


class DataError(AutoMLError, ValueError):
    """The data cannot be read, or cannot be learned from or predicted."""


class ComponentUnavailable(AutoMLError, ConnectionError):
    """A backing service or resource does not answer; names the address, never the password."""


class BudgetError(AutoMLError):
    """The time, memory or trial budget does not suffice for any answer."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the closest known word, or an empty string."""
    close = get_close_matches(word, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
