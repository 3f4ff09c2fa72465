"""Words that settings select plugins by: a name, "plugin.provider", or the URI of a place."""

from __future__ import annotations

__all__ = ["SCHEMES", "plugin_of", "scheme_of"]

# Schemes of the clouds, and the plugin behind each. Any other scheme is taken for the name of a plugin.
SCHEMES = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure"}


def scheme_of(word: str) -> str:
    """Return the scheme of a URI in lower case, or an empty string for anything else."""
    scheme, separator, _ = word.partition("://")
    return scheme.lower() if separator else ""


def plugin_of(word: str) -> str:
    """Return the plugin that a word selects: "ray.actors" gives "ray", "gs://bucket" gives "gcs"."""
    scheme = scheme_of(word)
    return SCHEMES.get(scheme, scheme) if scheme else word.partition(".")[0]
