"""The files of many workers: emptied before a server starts, and put together after a worker's death."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import mark_process_dead

__all__ = ["bury", "clear", "hold"]

DEAD = "dead"


@contextmanager
def hold(directory: Path, *, exclusive: bool) -> Iterator[None]:
    """Keep a folder's files as they are while they are read, or from being read while they change."""
    with (directory / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield


def clear(directory: str | Path) -> None:
    """Make the folder, and delete what an earlier server left there; call before the first worker starts."""
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.db"):
        path.unlink()


def bury(process: int, directory: str | Path) -> None:
    """Add a dead worker's counters to one file and delete its own; call in the parent when a worker ended.

    Deleting them alone would make counters fall, which Prometheus takes for a restart; keeping them makes each scrape
    slower with every worker that ever died.
    """
    folder = Path(directory)
    mark_process_dead(process, str(folder))  # type: ignore[no-untyped-call]
    with hold(folder, exclusive=True):
        for kind in ("counter", "histogram"):
            path = folder / f"{kind}_{process}.db"
            if path.exists():
                _add(path, folder / f"{kind}_{DEAD}.db")
                path.unlink()


def _add(source: Path, total: Path) -> None:
    sums = MmapedDict(str(total))  # type: ignore[no-untyped-call]
    try:
        for key, value, stamp, _ in MmapedDict.read_all_values_from_file(str(source)):  # type: ignore[no-untyped-call]
            before, _ = sums.read_value(key)  # type: ignore[no-untyped-call]
            sums.write_value(key, before + value, stamp)  # type: ignore[no-untyped-call]
    finally:
        sums.close()  # type: ignore[no-untyped-call]
