"""What went wrong at an object store, from whatever its client raised, and how to say it without secrets."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any

__all__ = ["Trouble", "detail", "diagnose"]


class Trouble(Enum):
    """Kinds of failure that call for different advice."""

    MISSING = "missing"
    EXISTS = "exists"
    NO_CREDENTIALS = "no credentials"
    EXPIRED = "expired"
    DENIED = "denied"
    BUSY = "busy"
    UNREACHABLE = "unreachable"
    OTHER = "other"

    @property
    def passes(self) -> bool:
        """Whether the same request may succeed a moment later."""
        return self in (Trouble.BUSY, Trouble.UNREACHABLE)


# Clients are not imported here, so their exceptions go by name: botocore, aiohttp, google-auth, requests, azure-core.
NO_CREDENTIALS = frozenset({
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound",
    "DefaultCredentialsError", "CredentialUnavailableError",
})  # fmt: skip
UNREACHABLE = frozenset({
    "EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError", "HTTPClientError",
    "ProxyConnectionError", "ClientConnectorError", "ClientConnectionError", "ClientOSError", "ServerDisconnectedError",
    "ServerTimeoutError", "ConnectionTimeoutError", "SocketTimeoutError", "TransportError", "ConnectTimeout",
    "ServiceRequestError", "ServiceResponseError", "ServiceRequestTimeoutError", "ServiceResponseTimeoutError",
    "FSTimeoutError",
})  # fmt: skip
BUSY = frozenset({
    "ClientPayloadError", "IncompleteRead", "IncompleteReadError", "ResponseParserError", "ChecksumError", "ProxyError",
    "FlexibleChecksumError", "ResponseStreamingError", "ContentDecodingError", "ChunkedEncodingError",
})  # fmt: skip
# How azure-identity says, in a ClientAuthenticationError, that its whole chain came to nothing.
NOWHERE_FOUND = "failed to retrieve a token from the included credentials"
EXISTS_CODES = frozenset({"PreconditionFailed", "BlobAlreadyExists", "ConditionNotMet"})
BUSY_CODES = frozenset({
    "SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "RequestTimeTooSkewed", "OperationAborted",
    "ConditionalRequestConflict", "ServerBusy", "OperationTimedOut", "Throttling", "ThrottlingException",
})  # fmt: skip
EXPIRED = re.compile(
    r"expired|invalid_grant|reauth|TokenRefreshRequired|not valid in the specified time frame", re.IGNORECASE
)
DENIED_CODES = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "AuthenticationFailed"})
SIGNED = re.compile(r"(?i)\b(sig|signature|token|access_token|accountkey|password|x-(?:amz|goog)-[a-z-]+)=[^&\s;'\"]+")
BUSY_NUMBERS = frozenset({errno.EIO, errno.EBUSY, getattr(errno, "EREMOTEIO", errno.EIO)})


def diagnose(error: BaseException) -> Trouble:
    """Return the kind of failure behind an exception, from its type, codes and causes."""
    chain = list(_chain(error))
    names = {kind.__name__ for item in chain for kind in type(item).__mro__}
    codes = {code for item in chain for code in _codes(item)}
    if isinstance(error, FileExistsError) or codes & EXISTS_CODES or "412" in codes:
        return Trouble.EXISTS
    if isinstance(error, FileNotFoundError) or "404" in codes:
        return Trouble.MISSING
    if names & NO_CREDENTIALS or any(NOWHERE_FOUND in str(item) for item in chain):
        return Trouble.NO_CREDENTIALS
    refused = isinstance(error, PermissionError) or "RefreshError" in names or codes & (DENIED_CODES | {"401", "403"})
    if (refused or codes & {"400", "ExpiredToken"}) and any(EXPIRED.search(str(item)) for item in chain):
        return Trouble.EXPIRED
    if refused or (isinstance(error, OSError) and str(error).startswith("Forbidden")):
        return Trouble.DENIED
    if codes & BUSY_CODES or any(code in ("408", "409", "429") or re.fullmatch("5..", code) for code in codes):
        return Trouble.BUSY
    if names & UNREACHABLE or any(isinstance(item, ConnectionError | TimeoutError) for item in chain):
        return Trouble.UNREACHABLE
    if names & BUSY or (isinstance(error, OSError) and error.errno in BUSY_NUMBERS):
        return Trouble.BUSY
    return Trouble.OTHER


def detail(error: BaseException, secrets: Iterable[str]) -> str:
    """Return an exception in one short line, without any of the secrets and without signatures in URLs."""
    text = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    for secret in secrets:
        text = text.replace(secret, "***")
    text = SIGNED.sub(r"\1=***", text)
    codes = [code for item in _chain(error) for code in _codes(item) if code not in text]
    return " ".join([text[:200], *(f"[{code}]" for code in dict.fromkeys(codes))])


def _chain(error: BaseException | None, depth: int = 6) -> Iterator[BaseException]:
    while error is not None and depth:
        yield error
        error, depth = error.__cause__ or error.__context__, depth - 1


def _codes(error: Any) -> Iterator[str]:
    """Yield an answer's status and its code in the words of its cloud."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        yield str(response.get("Error", {}).get("Code", ""))
        yield str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    for name in ("code", "status_code", "status", "error_code"):  # gcsfs, azure-core, aiohttp, azure-storage
        value = getattr(error, name, None)
        if isinstance(value, int | str) and not isinstance(value, bool):
            yield str(getattr(value, "value", value))
