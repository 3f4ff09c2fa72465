"""Where Azure Blob Storage is, and with which credentials to ask it."""

from __future__ import annotations

from pydantic import Field, SecretStr

from automl_core.remote.settings import RemoteSettings

__all__ = ["AzureSettings"]


class AzureSettings(RemoteSettings):
    """Without credentials the usual chain holds: AZURE_* variables, workload identity, managed identity, the CLI."""

    account_name: str | None = Field(None, description="The storage account; else the URI or the environment says it.")
    endpoint_url: str | None = Field(None, description="Another server than https://ACCOUNT.blob.core.windows.net.")
    anonymous: bool = Field(False, description="Whether to ask without credentials, for public containers.")
    account_key: SecretStr | None = Field(None, description="The account's key.")
    sas_token: SecretStr | None = Field(None, description="A shared access signature.")
    connection_string: SecretStr | None = Field(None, description="A connection string, which holds all of these.")
    tenant_id: str | None = Field(None, description="The tenant of a service principal.")
    client_id: str | None = Field(None, description="The id of a service principal.")
    client_secret: SecretStr | None = Field(None, description="The secret of a service principal.")
