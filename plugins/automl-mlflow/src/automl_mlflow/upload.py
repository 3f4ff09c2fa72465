"""The process that sends one study's spool, started as `python -m automl_mlflow.upload` by the study's own.

Its order comes as a line of JSON to stdin, which is closed when the study has ended, or was killed. What it has to log
goes to stdout, a line of JSON each.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from select import select
from typing import Any

from automl_core import ComponentUnavailable
from automl_mlflow.connection import Connection, Refused
from automl_mlflow.sending import Sender, flush
from automl_mlflow.settings import MLflowConfig
from automl_mlflow.spool import Spool

__all__ = ["Upload", "main"]

GATHER = 5.0  # seconds between looks at the spool: of several trials, the points of the parent are one request
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
log = logging.getLogger("automl.mlflow")


class Upload:
    """Sends a spool until it is complete, or the study has ended and MLflow does not answer.

    Also sends what earlier processes left at this address, and closes the runs of those that were killed.

    Args:
        stop: a descriptor that is readable, or at its end, as soon as the study writes no more.
    """

    def __init__(self, spool: Spool, connection: Connection, *, study: str, stop: int) -> None:
        self.spool, self.connection = spool, connection
        self._study, self._stop = study, stop
        self._sender = Sender(spool, connection)
        self._last = self._warned = self._flushed = False

    def run(self) -> None:
        try:
            self._send_until_told()
        except Refused as error:
            self._warn(error)
        except Exception:  # nobody else would see it
            log.exception("MLflow is told no more of study %s; the rest is in %s", self._study, self.spool.folder)
        finally:
            self.spool.close()

    def _send_until_told(self) -> None:
        pause = FIRST_PAUSE
        while not self._sender.ended:
            last = self._told(0)
            try:
                self._send(last)
            except Refused:
                raise
            except ComponentUnavailable as error:
                self._warn(error)
                if last:
                    return
                self._told(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                pause = FIRST_PAUSE
                if last:
                    self._sender.close_killed()
                elif not self._sender.ended:
                    self._told(GATHER)
        self.spool.remove()

    def _told(self, seconds: float) -> bool:
        """Wait for so long, or until the study writes no more; tell whether that is so."""
        self._last = self._last or bool(select([self._stop], [], [], seconds)[0])
        return self._last

    def _send(self, last: bool) -> None:
        self._sender.send(whole=last)
        if not self._flushed:
            self._flushed = True
            flush(self.connection)

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            log.warning(
                "study %s goes on without MLflow, and what it has to tell waits on disk: %s", self._study, error
            )
        self._warned = True


class _Teller(logging.Handler):
    """Writes records to a descriptor, as long as somebody reads there."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor

    def emit(self, record: logging.LogRecord) -> None:
        line = json.dumps({"level": record.levelno, "text": self.format(record)})
        with suppress(OSError):  # the study's process has ended
            os.write(self._descriptor, line.encode() + b"\n")


def main() -> None:
    """Do what stdin orders; see the module."""
    gc.set_threshold(100_000)  # a tenth of MLflow's import goes into a search for garbage that is not there (measured)
    log.addHandler(_Teller(os.dup(1)))
    log.propagate = False
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # MLflow prints
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as lines:  # reads no further than the line
        order: dict[str, Any] = json.loads(lines.readline())
    connection = Connection(MLflowConfig.model_validate(order["config"]), order["directory"])
    spool = Spool(Path(order["folder"]), records=order["records"])
    Upload(spool, connection, study=order["study"], stop=sys.stdin.fileno()).run()


if __name__ == "__main__":
    main()
