"""Where Google Cloud Storage is, and with which credentials to ask it."""

from __future__ import annotations

from pydantic import Field, SecretStr

from automl_core.remote.settings import RemoteSettings

__all__ = ["GCSSettings"]


class GCSSettings(RemoteSettings):
    """Without credentials the usual chain holds: GOOGLE_APPLICATION_CREDENTIALS, gcloud, the service account."""

    endpoint_url: str | None = Field(None, description="Another server than Google's, without a path.")
    project: str | None = Field(None, description="The project to ask for.")
    anonymous: bool = Field(False, description="Whether to ask without credentials, for public buckets.")
    credentials_file: str | None = Field(None, description="A JSON file of credentials, instead of the usual chain.")
    credentials_json: SecretStr | None = Field(None, description="Credentials as JSON, instead of the usual chain.")
