"""A thread that sends what the study tells, while the study goes on."""

from __future__ import annotations

import atexit
import logging
from threading import Event as Flag
from threading import Thread
from typing import TYPE_CHECKING

from automl_core import ComponentUnavailable
from automl_mlflow.connection import Refused
from automl_mlflow.sending import Sender
from automl_mlflow.spool import Spool, leftovers

if TYPE_CHECKING:
    from automl_mlflow.connection import Connection

__all__ = ["Uploader", "flush"]

GATHER = 0.5  # seconds in which trials gather, so that a wake of the thread serves many
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
log = logging.getLogger("automl.mlflow")


class Uploader:
    """Sends one spool until it is complete or told to stop; the study never waits for it but at the end, for a while.

    Also sends what earlier processes left at this address, and closes the runs of those that were killed.
    """

    def __init__(self, spool: Spool, connection: Connection, *, study: str) -> None:
        self.spool, self.connection = spool, connection
        self._study = study
        self._sender = Sender(spool, connection)
        self._news, self._stop = Flag(), Flag()
        self._warned = self._flushed = False
        self._thread = Thread(target=self._work, name="automl-mlflow", daemon=True)
        self._thread.start()

    def notify(self) -> None:
        self._news.set()

    def finish(self, seconds: float) -> None:
        """Let the thread send the rest and end; only the end of the process waits for it, for so long at most."""
        atexit.register(self.wait, seconds)
        self._stop.set()
        self._news.set()

    def wait(self, seconds: float) -> bool:
        """Wait until the thread ends, for so long at most; log what is not sent by then, and tell whether it goes on."""
        atexit.unregister(self.wait)
        self._thread.join(seconds)
        waits = self.spool.folder.exists()
        if waits:
            log.warning(
                "MLflow at %s has not taken all of study %s: the rest is in %s; send it with `automl tracker flush`",
                self.connection.shown, self._study, self.spool.folder,
            )  # fmt: skip
        return waits and self._thread.is_alive()

    def _work(self) -> None:
        try:
            self._send_until_told()
        except Refused as error:
            self._warn(error)
        except Exception:  # the study must not see it, and nobody else would
            log.exception("MLflow is told no more of study %s; the rest is in %s", self._study, self.spool.folder)
        finally:
            if not self._sender.ended:
                self._stop.wait()  # until its end, the study still writes into the spool
            self.spool.close()
            if not self.spool.folder.exists():
                atexit.unregister(self.wait)

    def _send_until_told(self) -> None:
        pause = FIRST_PAUSE
        while not self._sender.ended:
            last = self._stop.is_set()
            try:
                self._send()
            except Refused:
                raise
            except ComponentUnavailable as error:
                self._warn(error)
                self._stop.wait(0 if last else pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                pause = FIRST_PAUSE
                if not last and not self._sender.ended:
                    self._news.wait()
                    self._stop.wait(GATHER)
                    self._news.clear()
            if last and not self._sender.ended:
                return
        self.spool.remove()

    def _send(self) -> None:
        self._sender.send()
        if not self._flushed:
            self._flushed = True
            flush(self.connection)

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            log.warning(
                "study %s goes on without MLflow, and what it has to tell waits on disk: %s", self._study, error
            )
        self._warned = True


def flush(connection: Connection) -> tuple[int, int]:
    """Send the spools that nobody has open, and close the runs of killed studies.

    Returns:
        How many records were sent, and how many spools could not be sent whole.
    """
    sent = left = 0
    for spool in leftovers(connection.spools):
        sender = Sender(spool, connection)
        try:
            sent += sender.send()
            sender.close_killed()
            spool.remove()
        except ComponentUnavailable as error:
            log.warning("%s stays: %s", spool.folder, error)
            left += 1
        finally:
            spool.close()
    return sent, left
