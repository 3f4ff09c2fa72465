"""The client of Google Cloud Storage."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import aiohttp

# Not from `gcsfs`: what it exports by default asks every bucket by gRPC first whether it is zonal, which takes a minute
# where only HTTP gets through, as with an emulator or a proxy (gcsfs 2026.10).
from gcsfs.core import GCSFileSystem

from automl_core import SettingsError
from automl_core.remote.client import Client
from automl_core.remote.settings import reveal
from automl_core.remote.storage import RemoteStorage
from automl_gcs.settings import GCSSettings

__all__ = ["make_storage"]

HINT = (
    "Credentials come from credentials_file or credentials_json in [plugins.gcs], else from "
    "GOOGLE_APPLICATION_CREDENTIALS, gcloud, or the service account of this machine."
)
SECRETS = ("private_key", "private_key_id", "refresh_token", "client_secret")


class _GCS(GCSFileSystem):  # type: ignore[misc]
    # Undecorated: who asks again is the storage, alike for all clouds; gcsfs would ask for 30 s and log each failure.
    _request = GCSFileSystem._request.__wrapped__


def make_storage(settings: GCSSettings) -> RemoteStorage:
    """Return the storage at `settings.url`; connects when it is first used.

    Raises:
        SettingsError: the URI is missing or names no bucket, or credentials are given twice or are no JSON.
    """
    if settings.url is None:
        raise SettingsError("plugins.gcs.url (AUTOML_PLUGINS__GCS__URL) is missing: write gs://bucket/folder.")
    secret = reveal(settings.credentials_json)
    token = _token(settings, secret)
    options: dict[str, Any] = {
        "token": token,
        "endpoint_url": settings.endpoint_url,
        "requests_timeout": aiohttp.ClientTimeout(sock_connect=settings.connect_timeout, sock_read=settings.timeout),
        "use_listings_cache": False,
    }
    if settings.project:
        options["project"] = settings.project
    return RemoteStorage(
        Client(
            partial(_GCS, **options),
            settings.url,
            hint=HINT,
            retries=settings.retries,
            secrets=[str(token[name]) for name in SECRETS if name in token] if isinstance(token, dict) else [],
            put_options={"chunksize": settings.part_size << 20},
        )
    )


def _token(settings: GCSSettings, secret: str | None) -> Any:
    given = [settings.anonymous, settings.credentials_file is not None, secret is not None]
    if sum(given) > 1:
        raise SettingsError("plugins.gcs takes one of anonymous, credentials_file and credentials_json.")
    if settings.anonymous:
        return "anon"
    if secret is None:
        return settings.credentials_file
    try:
        return json.loads(secret)
    except ValueError:
        raise SettingsError("plugins.gcs.credentials_json is no JSON.") from None
