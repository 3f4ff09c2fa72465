"""Ask a server over HTTP, and take any answer for an answer."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from automl_core.errors import ComponentUnavailable, SettingsError

__all__ = ["Answer", "ask"]

TIMEOUT = 5.0
LARGEST = 32 << 20  # bytes of an answer that are read


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """Return the body, parsed.

        Raises:
            ComponentUnavailable: it is no JSON.
        """
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise ComponentUnavailable(f"the answer (status {self.status}) is no JSON: {self.body[:80]!r}.") from error


def ask(url: str, *, headers: Mapping[str, str] | None = None, data: bytes | None = None) -> Answer:
    """Return the answer of whatever status.

    Raises:
        SettingsError: the URL is none of HTTP. ComponentUnavailable: nobody answers within five seconds.
    """
    if not url.startswith(("http://", "https://")):
        raise SettingsError(f"{url!r} is no address: it must begin with http:// or https://.")
    request = Request(url, data=data, headers=dict(headers or {}))  # noqa: S310 - the scheme is checked
    try:
        with urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
            return Answer(answer.status, _lower(answer.headers), answer.read(LARGEST))
    except HTTPError as error:
        with error:
            return Answer(error.code, _lower(error.headers), error.read(LARGEST))
    except (URLError, HTTPException, ssl.SSLError, OSError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise ComponentUnavailable(f"{url} does not answer: {reason}.") from error


def _lower(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
