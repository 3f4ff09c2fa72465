"""Names of logs and blobs, and the files that stand for them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

__all__ = ["check_name", "name_of", "path_of"]


def check_name(name: str) -> list[str]:
    """Return the parts of a log name or blob key.

    Raises:
        ValueError: it is no relative path of printable characters.
    """
    parts = name.split("/")
    if "" in parts or ".." in parts or not name.isprintable():
        raise ValueError(f"{name!r} is no valid name: it must be a relative path of printable characters without '..'")
    return parts


@lru_cache(maxsize=64)  # a journal is written to once a trial
def path_of(root: Path, name: str, suffix: str) -> Path:
    """Return the file that stands for a name; different names have different files, and no file is a folder.

    Files end in `suffix` and folders never do, so that both "a" and "a/b" can be there.
    """
    *folders, last = (part.replace("%", "%25") for part in check_name(name))
    return root.joinpath(*(_escape(folder, suffix) for folder in folders), last + suffix)


def _escape(folder: str, suffix: str) -> str:
    if folder == ".":
        return "%2E"
    return folder.removesuffix(suffix) + suffix.replace(".", "%2E") if folder.endswith(suffix) else folder


def name_of(root: Path, path: Path, suffix: str) -> str:
    """Return the name that a file stands for; the inverse of `path_of`."""
    quoted = path.relative_to(root).as_posix().removesuffix(suffix)
    return quoted.replace("%2E", ".").replace("%25", "%")
