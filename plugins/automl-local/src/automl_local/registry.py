"""Versions and aliases of models in a folder, as a journal of what was registered and promoted."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from automl_core import did_you_mean
from automl_local.disk import replace_file, reported
from automl_local.logfile import append_record, read_records
from automl_local.names import path_of

__all__ = ["FileRegistry", "Version"]


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a model; `created` is in seconds since the epoch, `tags` are what it was registered with."""

    number: str
    path: Path
    sha256: str
    created: float
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _State:
    versions: dict[str, Version] = field(default_factory=dict)
    aliases: dict[str, list[str]] = field(default_factory=dict)


class FileRegistry:
    """Keeps model files under `models/files`, by content, and a journal `models/NAME.jsonl` for each model.

    Versions are "1", "2", ...; an alias moves by one appended line, so that a reader in any process sees the old or
    the new version. Safe between threads and processes.

    Raises:
        ComponentUnavailable: the folder cannot be written or read.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory).absolute()

    def register(self, name: str, path: Path, *, tags: Mapping[str, str] | None = None) -> str:
        """Copy a model file into the registry and return its version; tags tell its lineage."""
        log = self._log(name)
        with path.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
            target = self._file(digest, path.name)
            if not target.is_file():
                source.seek(0)
                with reported("journal", target):
                    replace_file(target, source, temporary=self.directory / "tmp")
        entry = {"event": "registered", "file": path.name, "sha256": digest, "tags": dict(tags or {})}
        number = self._append(log, entry)
        before = sum(1 for seq, kind, _ in self._entries(log) if kind == "registered" and seq <= number)
        return str(before)

    def resolve(self, name: str, version: str) -> Path:
        """Return the file of a version or alias; see `Registry.resolve`."""
        return self.version(name, version).path

    def version(self, name: str, version: str) -> Version:
        """Return what is known of a version or alias.

        Raises:
            KeyError: there is no such model, version or alias.
        """
        state = self._replay(name)
        number = state.aliases[version][-1] if version in state.aliases else version
        if number not in state.versions:
            known = [*state.versions, *state.aliases]
            what = f"the model {name!r} has no version or alias {version!r}" if known else f"there is no model {name!r}"
            raise KeyError(f"{what}.{did_you_mean(version, known)}")
        return state.versions[number]

    def tags(self, name: str, version: str) -> Mapping[str, str]:
        """Return what a version or alias was registered with; see `Registry.tags`."""
        return self.version(name, version).tags

    def alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias at a version, or at what another alias points at now: a promotion.

        Raises:
            KeyError: there is no such model, version or alias.
            ValueError: the alias looks like a version.
        """
        if not alias or alias.isdigit():
            raise ValueError(f"{alias!r} cannot be an alias: it is empty, or looks like a version")
        number = self.version(name, version).number
        self._append(self._log(name), {"event": "alias", "alias": alias, "version": number})

    def rollback(self, name: str, alias: str) -> str:
        """Point an alias at the version that it had before, and return that; repeated, it goes back further.

        Raises:
            KeyError: there is no such model or alias, or nothing before.
        """
        if len(self._replay(name).aliases.get(alias, ())) < 2:
            raise KeyError(f"the alias {alias!r} of the model {name!r} never pointed at another version before")
        self._append(self._log(name), {"event": "rollback", "alias": alias})
        return self._replay(name).aliases[alias][-1]

    def versions(self, name: str) -> Sequence[str]:
        """List the versions, oldest first; empty for an unknown model."""
        return list(self._replay(name).versions)

    def aliases(self, name: str) -> Mapping[str, str]:
        """Return the version that each alias points at; empty for an unknown model."""
        return {alias: history[-1] for alias, history in self._replay(name).aliases.items()}

    # ---- the journal

    def _replay(self, name: str) -> _State:
        state = _State()
        for _, kind, entry in self._entries(self._log(name)):
            if kind == "registered":
                number = str(len(state.versions) + 1)
                path = self._file(entry["sha256"], entry["file"])
                state.versions[number] = Version(number, path, entry["sha256"], entry["time"], entry["tags"])
            elif kind == "alias":
                history = state.aliases.setdefault(entry["alias"], [])
                if not history or history[-1] != entry["version"]:
                    history.append(entry["version"])
            elif kind == "rollback" and len(state.aliases[entry["alias"]]) > 1:
                state.aliases[entry["alias"]].pop()
        return state

    def _append(self, log: Path, entry: Mapping[str, Any]) -> int:
        with reported("journal", log):
            return append_record(log, json.dumps({**entry, "time": time.time()}).encode(), fsync=True)

    def _entries(self, log: Path) -> list[tuple[int, str, dict[str, Any]]]:
        with reported("journal", log, "read"):
            parsed = [(seq, json.loads(line)) for seq, line in read_records(log)]
        return [(seq, entry["event"], entry) for seq, entry in parsed]

    def _log(self, name: str) -> Path:
        return path_of(self.directory / "models", name, ".jsonl")

    def _file(self, digest: str, name: str) -> Path:
        return self.directory / "models" / "files" / digest / name
