"""Secrets, keys and certificates."""

from __future__ import annotations

import ssl
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from automl.doctor.asked import Asked
from automl_core.diagnosis import FAILED, OK, WARNING, Finding
from automl_core.errors import PluginError
from automl_core.settings import origins

__all__ = ["check_safety"]

LOOPBACK = ("127.", "localhost", "::1")


def check_safety(asked: Asked) -> Iterator[Finding]:
    """Look at where secrets are, and at what the server shows to the network."""
    yield from _secrets(asked)
    if asked.serves:
        try:
            block = asked.server()
        except PluginError:
            return  # its own line says that it is missing
        yield from _exposure(asked, block)


def _secrets(asked: Asked) -> Iterator[Finding]:
    found = origins(asked.settings)
    places = {
        f"plugins.{p}.{key}": found[f"plugins.{p}.{key}"] for p in asked.settings.plugins for key in _keys(asked, p)
    }
    in_environment = sorted(name for name, place in places.items() if place == "environment")
    if in_environment:
        said = f"{', '.join(in_environment)} in the environment, where every child process and crash report has it"
        yield Finding("secrets", WARNING, said, "Put each into a file of the folder AUTOML_SECRETS_DIR, /run/secrets.")
    open_to_all = sorted({place for place in places.values() if _others_read(Path(place))})
    if open_to_all:
        yield Finding(
            "secrets", FAILED, f"others may read {', '.join(open_to_all)}", f"chmod o= {' '.join(open_to_all)}"
        )
    if not in_environment and not open_to_all:
        yield Finding("secrets", OK, f"{len(places)} set, none in the environment" if places else "none is set")


def _keys(asked: Asked, plugin: str) -> set[str]:
    """Return the set keys of a plugin's block that its own model declares secret."""
    try:
        provided = asked.plugins.describe(plugin)
    except PluginError:
        return set()
    models = [provider.settings() for _, _, provider in provided if provider.settings is not None]
    secret = {key for model in models for key, item in model.model_fields.items() if "Secret" in str(item.annotation)}
    return secret & set(asked.settings.plugins[plugin])


def _others_read(path: Path) -> bool:
    files = [item for item in path.iterdir() if item.is_file()] if path.is_dir() else [path]
    return any(item.is_file() and item.stat().st_mode & stat.S_IROTH for item in files)


def _exposure(asked: Asked, block: Any) -> Iterator[Finding]:
    host = asked.host or getattr(block, "host", "")
    if not host or host.startswith(LOOPBACK):
        yield Finding("exposure", OK, f"the server binds {host or 'nothing that is known'}")
        return
    keys, file = getattr(block, "api_keys", ()), getattr(block, "api_keys_file", "")
    if keys or file:
        yield Finding("API keys", OK, f"{len(keys)} in settings" if keys else f"in {file}")
    else:
        said = f"the server binds {host}, and answers whoever asks"
        yield Finding("API keys", WARNING, said, "Set api_keys_file of the server, or let the ingress check who asks.")
    yield _certificate(host, getattr(block, "tls_certificate", ""), getattr(block, "tls_key", ""))


def _certificate(host: str, certificate: str, key: str) -> Finding:
    if not certificate:
        said = f"the server binds {host} without TLS"
        return Finding(
            "TLS", WARNING, said, "Set tls_certificate and tls_key, or end TLS at an ingress in a private network."
        )
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        return Finding(
            "TLS", FAILED, f"{certificate} and {key} cannot be used: {error}", "Give a PEM file and its key."
        )
    if _others_read(Path(key)):
        return Finding("TLS", FAILED, f"others may read {key}", f"chmod o= {key}")
    return Finding("TLS", OK, f"{certificate} fits its key")
