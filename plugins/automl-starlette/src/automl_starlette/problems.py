"""What goes wrong, as HTTP says it: a status, headers, and `{"error": ...}`."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import CancelledError
from math import ceil

from automl_core import AutoMLError, DataError

__all__ = ["Problem", "to_problem"]

Headers = Sequence[tuple[bytes, bytes]]


class Problem(AutoMLError):
    """An error with its HTTP status, for the client to read."""

    def __init__(self, status: int, message: str, headers: Headers = ()) -> None:
        super().__init__(message)
        self.status, self.headers = status, tuple(headers)


# The service's errors are known by name: a plugin does not import the sdk.
STATUS = {"Unknown": 404, "TooManyRows": 413, "ComponentUnavailable": 503, "Expired": 504}


def to_problem(error: BaseException) -> Problem | None:
    """Return what to tell the client of an error; None for one that nobody foresaw."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, TimeoutError | CancelledError):
        return Problem(504, "the prediction took longer than the deadline.")
    name = type(error).__name__
    if name == "Overloaded":
        seconds = max(1, ceil(getattr(error, "retry_after", 1.0)))
        return Problem(429, str(error), [(b"retry-after", b"%d" % seconds)])
    if name in STATUS:
        return Problem(STATUS[name], str(error))
    return Problem(400, str(error)) if isinstance(error, DataError) else None
