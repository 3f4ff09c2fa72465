"""What the server may be told."""

from __future__ import annotations

from typing import Self

from pydantic import Field, SecretStr, model_validator

from automl_core import PluginSettings

__all__ = ["GrpcSettings"]


class GrpcSettings(PluginSettings):
    """Address, limits and safeguards; times are in seconds, sizes in bytes."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to bind; loopback unless told otherwise.")
    port: int = Field(8001, ge=0, le=65535, description="Port to bind; 0 takes a free one.")
    api_keys: tuple[SecretStr, ...] = Field((), description="Keys of which every call but health must show one.")
    max_message: int = Field(32 * 2**20, ge=1024, description="The largest request.")
    deadline: float = Field(10.0, gt=0, description="How long a prediction may take; a caller may allow less.")
    grace: float = Field(20.0, ge=0, description="How long calls may still take when the server ends.")
    tls_certificate: str = Field("", description="A PEM file with the certificate.")
    tls_key: str = Field("", description="A PEM file with its key.")

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key go together")
        return self
