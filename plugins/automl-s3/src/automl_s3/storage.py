"""The client of S3."""

from __future__ import annotations

from functools import partial
from typing import Any

from s3fs import S3FileSystem

from automl_core import SettingsError
from automl_core.remote.client import Client
from automl_core.remote.settings import reveal
from automl_core.remote.storage import RemoteStorage
from automl_s3.settings import S3Settings

__all__ = ["make_storage"]

HINT = (
    "Credentials come from access_key_id and secret_access_key in [plugins.s3], else from AWS_ACCESS_KEY_ID, "
    "AWS_PROFILE, or the role of this machine."
)


class _S3(S3FileSystem):  # type: ignore[misc]
    retries = 1  # who asks again is the storage, alike for all clouds


def make_storage(settings: S3Settings) -> RemoteStorage:
    """Return the storage at `settings.url`; connects when it is first used.

    Raises:
        SettingsError: the URI is missing or names no bucket, or half of a key is missing.
    """
    if settings.url is None:
        raise SettingsError("plugins.s3.url (AUTOML_PLUGINS__S3__URL) is missing: write s3://bucket/folder.")
    key, secret, token = map(reveal, (settings.access_key_id, settings.secret_access_key, settings.session_token))
    if (key is None) != (secret is None):
        raise SettingsError("plugins.s3 needs access_key_id and secret_access_key together, or neither.")
    options: dict[str, Any] = {
        "key": key,
        "secret": secret,
        "token": token,
        "anon": settings.anonymous,
        "endpoint_url": settings.endpoint_url,
        "client_kwargs": {"region_name": settings.region} if settings.region else {},
        "config_kwargs": {
            "connect_timeout": settings.connect_timeout,
            "read_timeout": settings.timeout,
            "retries": {"total_max_attempts": 1},
        },
        "use_listings_cache": False,
    }
    if settings.profile:
        options["profile"] = settings.profile
    return RemoteStorage(
        Client(
            partial(_S3, **options),
            settings.url,
            hint=HINT,
            retries=settings.retries,
            secrets=[item for item in (key, secret, token) if item],
            put_options={"chunksize": settings.part_size << 20},
        )
    )
