"""The client of Azure Blob Storage."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from adlfs import AzureBlobFileSystem
from azure.storage.blob.aio import BlobServiceClient

from automl_azure.settings import AzureSettings
from automl_core import SettingsError
from automl_core.remote.client import Client
from automl_core.remote.settings import reveal
from automl_core.remote.storage import RemoteStorage

__all__ = ["make_storage"]

HINT = (
    "Credentials come from account_key, sas_token, connection_string or a service principal in [plugins.azure], else from "
    "AZURE_* variables, a managed identity, or the Azure CLI."
)


class _Azure(AzureBlobFileSystem):  # type: ignore[misc]
    """Asks any server, and only once: who asks again is the storage, alike for all clouds."""

    def __init__(
        self, *, endpoint_url: str | None, connect_timeout: float, read_timeout: float, **options: Any
    ) -> None:
        self.endpoint_url = endpoint_url
        self.client_options: dict[str, Any] = {
            "retry_total": 0,
            "connection_timeout": connect_timeout,
            "read_timeout": read_timeout,
        }
        super().__init__(**options)

    def do_connect(self) -> None:
        """Make the client; called by the base class."""
        if self.connection_string is not None:
            self.service_client = BlobServiceClient.from_connection_string(
                self.connection_string, **self.client_options
            )
            return
        self.account_url = self.endpoint_url or f"https://{self.account_name}.blob.core.windows.net"
        credential = self.credential or self.account_key or self.sas_token
        self.service_client = BlobServiceClient(self.account_url, credential=credential, **self.client_options)


def make_storage(settings: AzureSettings) -> RemoteStorage:
    """Return the storage at `settings.url`; connects when it is first used.

    Raises:
        SettingsError: the URI is missing or names no container, or nothing names the account.
    """
    if settings.url is None:
        raise SettingsError("plugins.azure.url (AUTOML_PLUGINS__AZURE__URL) is missing: write az://container/folder.")
    # Of abfss://container@account.dfs.core.windows.net/folder.
    account = settings.account_name or AzureBlobFileSystem._get_kwargs_from_urls(settings.url).get("account_name")
    connection = reveal(settings.connection_string)
    if not (
        account or connection or {"AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_CONNECTION_STRING"} & set(os.environ)
    ):
        raise SettingsError("plugins.azure.account_name (AUTOML_PLUGINS__AZURE__ACCOUNT_NAME) is missing.")
    key, sas, secret = map(reveal, (settings.account_key, settings.sas_token, settings.client_secret))
    options: dict[str, Any] = {
        "account_name": account,
        "account_key": key,
        "sas_token": sas,
        "connection_string": connection,
        "tenant_id": settings.tenant_id,
        "client_id": settings.client_id,
        "client_secret": secret,
        "anon": settings.anonymous,
        "endpoint_url": settings.endpoint_url,
        "connect_timeout": settings.connect_timeout,
        "read_timeout": settings.timeout,
        "blocksize": settings.part_size << 20,
        "use_listings_cache": False,
    }
    return RemoteStorage(
        Client(
            partial(_Azure, **options),
            settings.url,
            hint=HINT,
            retries=settings.retries,
            secrets=[item for item in (key, sas, secret, connection) if item],
        )
    )
