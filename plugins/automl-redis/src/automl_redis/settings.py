"""Where Redis is, and how long to wait for it."""

from __future__ import annotations

from pydantic import Field, SecretStr

from automl_core import PluginSettings

__all__ = ["RedisSettings"]


class RedisSettings(PluginSettings):
    """Times are in seconds."""

    host: str = Field("localhost", description="Name or address of the server, or of any node of a cluster.")
    port: int = Field(6379, ge=1, le=65535, description="Its port.")
    db: int = Field(0, ge=0, description="Number of the database; a cluster has only 0.")
    username: str | None = Field(None, description="User, where the server has users.")
    password: SecretStr | None = Field(None, description="Password, where it wants one.")
    unix_socket: str | None = Field(None, description="Path of a unix socket, instead of host and port.")
    cluster: bool = Field(False, description="Whether the server is a node of a cluster.")
    tls: bool = Field(False, description="Whether to connect by TLS.")
    tls_ca: str | None = Field(None, description="A PEM file with the authority to trust.")
    default_ttl: float | None = Field(None, gt=0, description="How long values are kept unless told otherwise.")
    timeout: float = Field(0.05, gt=0, description="How long to wait for an answer before it counts as a miss.")
    connect_timeout: float = Field(0.25, gt=0, description="How long to wait for a connection.")
    prefix: str = Field("", description="What every key begins with.")
