"""A process that sends what the study tells, while the study goes on: seen from the study."""

from __future__ import annotations

import atexit
import json
import logging
import os
import subprocess
import sys
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automl_mlflow.connection import Connection
    from automl_mlflow.spool import Spool

__all__ = ["Uploader"]

# MLflow's client takes 2 s of computing to be imported, 6 s to make a new store, and 17 ms for each trial on SQLite (measured,
# one slow core): in a thread, trials would wait for that, and a study of seconds took four times as long.
PROGRAM = ("-P", "-m", "automl_mlflow.upload")
# Where trials take all cores it has a seventieth of one, and all that they leave: with a tenth, at niceness 10, a study took
# 10 % longer (measured). The class SCHED_IDLE is no better: beside a process that always computes, fits take 11 % longer with it
# and 9.5 % with niceness 19. After the study it is an ordinary process of the background, where privileges allow that.
NICENESS, NICENESS_AFTER = 19, 10
log = logging.getLogger("automl.mlflow")


class Uploader:
    """Has a spool sent by a process of its own, which is told when the study ends, and notices when it is killed."""

    def __init__(self, spool: Spool, connection: Connection, *, study: str) -> None:
        self.spool, self.connection = spool, connection
        self._study = study
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._process = self._start()
        except OSError as error:  # no memory, or too many processes
            log.warning("what study %s has to tell MLflow waits on disk: no process could be started: %s", study, error)
            return
        self._listener = Thread(target=self._listen, args=(self._process,), name="automl-mlflow", daemon=True)
        self._listener.start()

    def finish(self, seconds: float) -> None:
        """Let the process send the rest and end; only the end of this one waits for it, for so long at most."""
        atexit.register(self.wait, seconds)
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):  # it gave up before
                self._process.stdin.write(b"end\n")
            self._process.stdin.close()
            if self._process.poll() is None:
                _set_niceness(self._process, NICENESS_AFTER)

    def wait(self, seconds: float) -> bool:
        """Wait until all is sent, for so long at most; log what is not by then, and tell whether the process goes on."""
        atexit.unregister(self.wait)
        busy = False
        if self._process is not None:
            try:
                self._process.wait(seconds)
                self._listener.join(seconds)
            except subprocess.TimeoutExpired:
                busy = True
        if busy:
            log.info(
                "MLflow at %s has not taken all of study %s: a process goes on", self.connection.shown, self._study
            )
        elif self.spool.folder.exists():
            log.warning(
                "MLflow at %s has not taken all of study %s: the rest is in %s; send it with `automl tracker flush`",
                self.connection.shown, self._study, self.spool.folder,
            )  # fmt: skip
        return busy

    def _start(self) -> subprocess.Popen[bytes]:
        records = self.spool.fileno()
        process = subprocess.Popen(
            [sys.executable, *PROGRAM],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # its warnings come by stdout; the rest is MLflow's own talk
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            pass_fds=(records,),  # and with it the spool's lock
            process_group=0,  # an interrupt at the keyboard is for the study
        )
        _set_niceness(process, NICENESS)
        assert process.stdin is not None  # noqa: S101 - a pipe
        process.stdin.write(json.dumps(self._order(records)).encode() + b"\n")
        return process

    def _order(self, records: int) -> dict[str, Any]:
        """Return what the process has to know; by a pipe, as it holds the password."""
        config = self.connection.config
        secrets = {name: getattr(config, name) for name in ("token", "password")}
        shown = {name: None if value is None else value.get_secret_value() for name, value in secrets.items()}
        return {
            "config": {**config.model_dump(mode="json"), **shown},
            "directory": str(self.connection.folder.parent),
            "folder": str(self.spool.folder),
            "records": records,
            "study": self._study,
        }

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        """Log what the process says."""
        assert process.stdout is not None  # noqa: S101 - a pipe
        with process.stdout as lines:
            for line in lines:
                said = json.loads(line)
                log.log(said["level"], "%s", said["text"])
        if code := process.wait():
            log.warning("the process that sends to MLflow ended with %d; what it has not sent waits on disk", code)


def _set_niceness(process: subprocess.Popen[bytes], niceness: int) -> None:
    """Set how much a process gives way to others: no less than this one does."""
    with suppress(PermissionError, ProcessLookupError):  # without privileges it stays low; or it has just ended
        os.setpriority(os.PRIO_PROCESS, process.pid, max(niceness, os.getpriority(os.PRIO_PROCESS, 0)))
