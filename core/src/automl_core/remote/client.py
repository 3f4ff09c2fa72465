"""An object store that is asked again while its trouble may pass, and whose errors say what to do."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from automl_core.errors import AutoMLError, ComponentUnavailable, SettingsError
from automl_core.remote.schemes import scheme_of
from automl_core.remote.trouble import Trouble, detail, diagnose

__all__ = ["Client", "Cut"]

T = TypeVar("T")
FIRST, LONGEST = 0.1, 5.0
THREADS = 16
SHORTEST_SECRET = 4  # shorter ones are found in any text


class Cut(OSError):
    """Fewer bytes came than were asked for."""


@dataclass(eq=False)
class Client:
    """An fsspec file system that connects when it is first used, and again after a fork. Thread-safe; picklable.

    Attributes:
        connect: makes the file system; picklable. It must not cache listings, and need not retry.
        uri: of the place, for messages and for the scheme of other URIs.
        hint: where credentials come from, in a sentence.
        retries: how often trouble that may pass is asked again; waits 0.1 s, 0.2 s, ... at most 5 s, less some at random.
        secrets: what no message may hold.
        put_options: keywords of the file system's `pipe_file`.
    """

    connect: Callable[[], Any]
    uri: str
    hint: str = ""
    retries: int = 5
    secrets: Sequence[str] = field(default=(), repr=False)
    put_options: dict[str, Any] = field(default_factory=dict)
    _made: tuple[int, Any] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.secrets = [secret for secret in self.secrets if len(secret) >= SHORTEST_SECRET]

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_made": None}

    @property
    def system(self) -> Any:
        """The file system of this process.

        Raises:
            SettingsError: it cannot be made.
        """
        made = self._made
        if made is None or made[0] != os.getpid():
            self._made = made = (os.getpid(), self._connect())
        return made[1]

    def _connect(self) -> Any:
        try:
            return self.connect()
        except Exception as error:  # noqa: BLE001 - clients raise whatever their libraries raise
            why = f"{type(error).__name__}: {detail(error, self.secrets)}"
            said = f"the client for {self.uri} cannot be made ({why}): check its settings. {self.hint}"
            raise SettingsError(said) from (None if self._shows(error) else error)

    def _shows(self, error: Exception) -> bool:
        return any(secret in repr(error) for secret in self.secrets)

    def path(self, uri: str) -> str:
        """Return the file system's own name for a URI."""
        return str(self.system._strip_protocol(uri))

    def name(self, path: str) -> str:
        """Return the URI of a path."""
        return f"{scheme_of(self.uri)}://{path}"

    def ask(self, what: str, path: str, request: Callable[[Any], T]) -> T:
        """Return `request(system)`, asked again while its trouble may pass.

        Args:
            what: for messages, such as "reading".

        Raises:
            FileNotFoundError, FileExistsError: there is no such object or bucket, or there is one already.
            ComponentUnavailable: anything else; says what to do, and holds no secret.
        """
        for attempt in range(self.retries + 1):
            try:
                return request(self.system)
            except AutoMLError:
                raise
            except Exception as error:
                trouble = diagnose(error)
                if isinstance(error, Cut):
                    trouble = Trouble.BUSY
                if trouble is Trouble.MISSING:
                    raise FileNotFoundError(f"there is nothing at {self.name(path)}.") from error
                if trouble is Trouble.EXISTS:
                    raise FileExistsError(f"there is something at {self.name(path)} already.") from error
                if not trouble.passes or attempt == self.retries:
                    said = self._say(trouble, what, path, error)
                    raise ComponentUnavailable(said) from (None if self._shows(error) else error)
            time.sleep(min(FIRST * 2**attempt, LONGEST) * random.uniform(0.5, 1))  # noqa: S311 - spreads retries only
        raise AssertionError("unreachable: the last attempt returns or raises")

    def each(self, work: Callable[[str], T], paths: Iterable[str]) -> Iterator[T]:
        """Yield `work(path)` in order, several at a time."""
        with ThreadPoolExecutor(THREADS, thread_name_prefix="automl-remote") as pool:
            yield from pool.map(work, paths)

    def _say(self, trouble: Trouble, what: str, path: str, error: Exception) -> str:
        uri, why = self.name(path), detail(error, self.secrets)
        hint = f" {self.hint}" if self.hint else ""
        return {
            Trouble.NO_CREDENTIALS: f"there are no credentials for {uri} ({why}).{hint}",
            Trouble.EXPIRED: f"the credentials for {uri} have expired ({why}): renew them.{hint}",
            Trouble.DENIED: f"{what} {uri} is denied ({why}): use credentials that may do that.{hint}",
            Trouble.BUSY: f"{what} {uri} failed {self.retries + 1} times ({why}): try again later.",
            Trouble.UNREACHABLE: f"the store of {uri} does not answer, asked {self.retries + 1} times ({why}): check the "
            "network and the endpoint in the settings.",
        }.get(trouble, f"{what} {uri} failed: {type(error).__name__}: {why}")
