"""What a stack is made of and which processes are its parts: a file, so that any later command finds them."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from automl.stack.processes import Process
from automl_core.errors import ComponentUnavailable, DataError

__all__ = ["Record", "State", "hold"]

FILE = "stack.json"


@dataclass(frozen=True, slots=True)
class Record:
    """A part that was started. `made_of` changes with its command, its settings and its files."""

    pid: int
    started: str
    made_of: str

    @property
    def process(self) -> Process:
        return Process(self.pid, self.started)


@dataclass(slots=True)
class State:
    """What was asked for, which holds until something else is, and what runs.

    Attributes:
        names: of the parts. left_out: of those not wanted. model: path or URI. directory: the engine's. trackers: of the settings.
        on_call: URL that alerts are sent to.
        ports: by part; a part keeps its port. parts: those that were started and not ended.
    """

    names: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    model: str = ""
    on_call: str = ""
    workers: int = 2
    directory: str = ""
    trackers: list[str] = field(default_factory=list)
    ports: dict[str, int] = field(default_factory=dict)
    parts: dict[str, Record] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> State:
        """Read the file; an empty state where there is none.

        Raises:
            DataError: it is damaged.
        """
        try:
            told = json.loads((folder / FILE).read_text(encoding="utf-8"))
            parts = {name: Record(**record) for name, record in told.pop("parts").items()}
            return cls(**told, parts=parts)
        except FileNotFoundError:
            return cls()
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"{folder / FILE} cannot be read: {error!r}. End its processes, and delete it.") from error

    def write(self, folder: Path) -> None:
        part = folder / f"{FILE}.part"
        part.write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")
        part.replace(folder / FILE)


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Keep other commands from changing this stack meanwhile.

    Raises:
        ComponentUnavailable: one is at it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Closed when a program is started, so that no part holds it.
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ComponentUnavailable(f"another `automl stack` is at work in {folder}; wait until it is done.") from None
    finally:
        os.close(descriptor)
