"""Where MLflow is, and how studies go there."""

from __future__ import annotations

from pydantic import Field, SecretStr

from automl_core import PluginSettings

__all__ = ["MLflowConfig"]


class MLflowConfig(PluginSettings):
    """Times are in seconds."""

    tracking_uri: str | None = Field(
        None, description="A server or database; a SQLite file in the engine's directory by default."
    )
    experiment_name: str = Field("automl", min_length=1, max_length=500, description="The experiment of all runs.")
    artifact_location: str | None = Field(
        None, description="Where a new experiment keeps its files; what the server says by default."
    )
    token: SecretStr | None = Field(None, description="Bearer token, where the server wants one.")
    username: str | None = Field(None, description="User, where the server has users.")
    password: SecretStr | None = Field(None, description="The user's password.")
    offline: bool = Field(
        False, description="Send nothing: `automl tracker flush` does later, where MLflow is reached."
    )
    report: bool = Field(True, description="Add the report of a study's model as a page, after all else.")
    required: bool = Field(False, description="Refuse to start a study while the server does not answer.")
    timeout: float = Field(3.0, gt=0, description="How long a server may take to say that it is there.")
    flush_seconds: float = Field(
        10.0, ge=0, description="How long the end of the process waits for what is not sent; the rest stays on disk."
    )
