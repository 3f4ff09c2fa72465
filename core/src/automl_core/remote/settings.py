"""Settings that the storages of all clouds share."""

from __future__ import annotations

from pydantic import Field, SecretStr

from automl_core.settings import PluginSettings

__all__ = ["RemoteSettings", "reveal"]


class RemoteSettings(PluginSettings):
    """Times are in seconds, sizes in mebibytes."""

    url: str | None = Field(None, description="Where journals and blobs are kept, such as SCHEME://bucket/folder.")
    retries: int = Field(5, ge=0, le=20, description="How often trouble that may pass is asked again.")
    connect_timeout: float = Field(5.0, gt=0, description="How long to wait for a connection.")
    timeout: float = Field(60.0, gt=0, description="How long to wait for an answer, or for more of it.")
    part_size: int = Field(50, ge=5, le=1024, description="How large the parts of a large object are, in MiB.")


def reveal(secret: SecretStr | None) -> str | None:
    """Return what a secret setting holds."""
    return None if secret is None else secret.get_secret_value()
