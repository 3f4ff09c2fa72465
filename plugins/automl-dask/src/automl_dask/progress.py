"""How far a run over chunks has come, kept so that a killed one goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from types import CodeType
from typing import Any

from automl_core import DataError
from automl_dask.pieces import Place
from automl_dask.places import put

__all__ = ["ChunkProgress", "State", "identify", "load_state", "save_state"]

FORMAT = 1


@dataclass(frozen=True, slots=True)
class ChunkProgress:
    """How far it is, told after each chunk and at the end.

    Attributes:
        chunks: done, those of earlier runs included; resumed: how many of these.
        rows_in, rows_out: rows read and written. bad_rows: rows, or files, left out.
        files_done: files that are behind it, of `files`.
        seconds: wall clock of this run.
    """

    chunks: int = 0
    resumed: int = 0
    rows_in: int = 0
    rows_out: int = 0
    bad_rows: int = 0
    files_done: int = 0
    files: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class State:
    """What is done and safe; `size` is the bytes written so far where all goes to one file."""

    run: str
    chunks: int = 0
    place: Place = field(default_factory=Place)
    rows_in: int = 0
    rows_out: int = 0
    bad_rows: int = 0
    size: int = 0


def load_state(system: Any, path: str, run: str) -> State | None:
    """Return the state of a run, or None where there is none or it is another run's."""
    if not system.exists(path):
        return None
    try:
        body = json.loads(system.cat_file(path))
        if body.pop("format") != FORMAT or body["run"] != run:
            return None
        return State(**{**body, "place": Place(*body["place"])})
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path!r} is no progress of a run: delete its folder to start over.") from error


def save_state(system: Any, path: str, state: State) -> None:
    """Write a state, atomically."""
    put(system, path, json.dumps({"format": FORMAT, **asdict(state)}).encode())


def identify(system: Any, files: list[str], function: Callable[..., Any], *settings: Any) -> str:
    """Return digits that differ where files, settings or the function's own code differ.

    What the function calls is not looked at.
    """
    about = [[path, (info := system.info(path)).get("size"), str(_version(info))] for path in files]
    text = json.dumps([about, _code(function), settings], default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _version(info: dict[str, Any]) -> Any:
    return next((info[key] for key in ("ETag", "etag", "mtime", "LastModified", "last_modified") if key in info), "")


def _code(function: Callable[..., Any]) -> str:
    name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(function).__qualname__)}"
    code = getattr(function, "__code__", None)
    return name if code is None else name + _of(code)


def _of(code: CodeType) -> str:
    constants = [_of(item) if isinstance(item, CodeType) else repr(item) for item in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {constants}"
