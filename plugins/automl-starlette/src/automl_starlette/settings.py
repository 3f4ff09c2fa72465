"""What the server may be told."""

from __future__ import annotations

from typing import Self

from pydantic import Field, SecretStr, model_validator

from automl_core import PluginSettings

__all__ = ["ServerSettings"]


class ServerSettings(PluginSettings):
    """Address, limits and safeguards; times are in seconds, sizes in bytes."""

    host: str = Field("127.0.0.1", description="Address to bind; loopback unless told otherwise.")
    port: int = Field(8000, ge=0, le=65535, description="Port to bind; 0 takes a free one.")
    workers: int = Field(1, ge=1, le=256, description="Processes that answer; they share the model's memory.")
    api_keys: tuple[SecretStr, ...] = Field((), description="Keys of which every request must show one.")
    api_keys_file: str = Field("", description="A file with one key a line, read again when it changes.")
    max_body: int = Field(32 * 2**20, ge=1024, description="The largest body, after decompression.")
    deadline: float = Field(10.0, gt=0, description="How long a request may take.")
    header_timeout: float = Field(10.0, gt=0, description="How long a client may take to send its headers.")
    body_timeout: float = Field(30.0, gt=0, description="How long a client may take to send its body.")
    keep_alive: float = Field(75.0, gt=0, description="How long an idle connection is kept.")
    max_connections: int = Field(20_000, ge=1, description="Open connections per worker.")
    drain: float = Field(1.0, ge=0, description="How long readiness is down before connections are refused.")
    grace: float = Field(20.0, ge=0, description="How long requests may still take after that.")
    cors_origins: tuple[str, ...] = Field((), description="Origins whose pages may call; * for all.")
    tls_certificate: str = Field("", description="A PEM file with the certificate.")
    tls_key: str = Field("", description="A PEM file with its key.")
    access_log: bool = Field(False, description="One line of JSON per request, on the logger automl.access: stdout.")
    docs: bool = Field(True, description="Serve the page, /docs and /openapi.json.")

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key go together")
        return self
