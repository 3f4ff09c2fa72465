"""Names of logs and blobs, and the parts of object names that stand for them."""

from __future__ import annotations

from urllib.parse import quote, unquote

__all__ = ["object_name", "original_name"]


def object_name(name: str) -> str:
    """Return what stands for a log name or blob key in an object's name: letters, digits and `_.-~=/` only.

    Clients quote, normalise and expand names in ways of their own: what none of them touches is safe with all.

    Raises:
        ValueError: it is no relative path of printable characters.
    """
    parts = name.split("/")
    if "" in parts or ".." in parts or not name.isprintable():
        raise ValueError(f"{name!r} is no valid name: it must be a relative path of printable characters without '..'")
    return "/".join(map(_escape, parts))


def _escape(part: str) -> str:
    quoted = quote(part, safe="").replace("%", "=")
    # "." is dropped from URLs, and Azure drops a dot at the end of a part.
    return quoted.removesuffix(".") + "=2E" if quoted.endswith(".") else quoted


def original_name(escaped: str) -> str:
    """Return the name that `object_name` was given."""
    return unquote(escaped.replace("=", "%"))
