"""API keys: several, in settings or in a file that may change while the server runs."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from pathlib import Path
from time import monotonic

from automl_core import SettingsError
from automl_starlette.problems import Problem

__all__ = ["Keys"]

LOOK = 1.0  # seconds between two looks at the file
REFUSED = Problem(
    401, "this needs a key: send X-API-Key, or Authorization: Bearer.", [(b"www-authenticate", b"Bearer")]
)


class Keys:
    """Lets pass who shows a key; everybody where there is none.

    Raises:
        SettingsError: the file cannot be read.
    """

    def __init__(self, keys: Iterable[str] = (), file: str = "") -> None:
        self._given = tuple(key.encode() for key in keys)
        self._file = Path(file) if file else None
        self._changed, self._looked = 0, monotonic()
        self._keys = self._given
        if self._file is not None:
            self._read(self._file)

    @property
    def needed(self) -> bool:
        return bool(self._keys) or self._file is not None

    def check(self, headers: Mapping[bytes, bytes]) -> None:
        """Raise a problem unless the headers show a key."""
        if self._file is not None and monotonic() - self._looked > LOOK:
            self._look(self._file)
        shown = headers.get(b"x-api-key", b"")
        if not shown and (bearer := headers.get(b"authorization", b""))[:7].lower() == b"bearer ":
            shown = bearer[7:].strip()
        # All keys are compared, each in constant time: the time taken tells nothing.
        if not any([hmac.compare_digest(shown, key) for key in self._keys]):  # noqa: C419
            raise REFUSED

    def _look(self, file: Path) -> None:
        self._looked = monotonic()
        try:
            if file.stat().st_mtime_ns != self._changed:
                self._read(file)
        except (OSError, SettingsError):
            return  # it is being replaced: the keys known so far stay good

    def _read(self, file: Path) -> None:
        try:
            changed, lines = file.stat().st_mtime_ns, file.read_bytes().split()
        except OSError as error:
            raise SettingsError(f"the file of API keys {str(file)!r} cannot be read: {error.strerror}.") from error
        self._changed, self._keys = changed, (*self._given, *lines)
