"""Where S3 is, and with which credentials to ask it."""

from __future__ import annotations

from pydantic import Field, SecretStr

from automl_core.remote.settings import RemoteSettings

__all__ = ["S3Settings"]


class S3Settings(RemoteSettings):
    """Without keys the usual chain holds: AWS_* variables, profiles, web identity, the role of the instance."""

    endpoint_url: str | None = Field(None, description="Another server than Amazon's, such as http://minio:9000.")
    region: str | None = Field(None, description="The region to sign requests for.")
    profile: str | None = Field(None, description="A profile of ~/.aws.")
    anonymous: bool = Field(False, description="Whether to ask without credentials, for public buckets.")
    access_key_id: SecretStr | None = Field(None, description="The key's id, instead of the usual chain.")
    secret_access_key: SecretStr | None = Field(None, description="The key itself.")
    session_token: SecretStr | None = Field(None, description="The token of temporary credentials.")
