"""The file itself: a ZIP of few members with known names, read within limits.

What is read is no more than the limit, whatever a hostile file declares, and each member must have the checksum that the
manifest names. A key makes and checks an HMAC-SHA256 of the manifest, and by its checksums of all else.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import re
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

from automl_core import DataError

__all__ = ["FORMAT", "MAX_BYTES", "PRODUCER", "pack", "unpack", "unpack_manifest"]

FORMAT = 1
PRODUCER = "automl"
MAX_BYTES = 4 << 30
MANIFEST, SIGNATURE = "manifest.json", "signature"
NAMES = re.compile(r"manifest\.json|signature|arrays\.bin|members/[0-9]{1,4}")
MAX_MEMBERS = 1024
# Deflate reaches 1032 at most; zeros in small members may, a whole model never does.
MAX_RATIO, SMALL = 200, 16 << 20
LEVEL = 4  # a third of the time of 6 for 3 % more bytes
EPOCH = (1980, 1, 1, 0, 0, 0)  # ZIP's first date: the same model gives the same bytes
DAMAGED = (
    zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError, OverflowError, IndexError,
    KeyError, OSError,
)  # fmt: skip


def pack(manifest: Mapping[str, Any], members: Mapping[str, bytes], *, key: bytes | None = None) -> bytes:
    """Return the file's bytes; checksums of the members are added to the manifest."""
    sums = {name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in members.items()}
    head = json.dumps({**manifest, "members": sums}, allow_nan=False, indent=1).encode()
    whole = {MANIFEST: head, **members}
    if key is not None:
        whole[SIGNATURE] = hmac.new(key, head, hashlib.sha256).hexdigest().encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in whole.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED, LEVEL)
    return buffer.getvalue()


def unpack(
    data: bytes, name: str, *, key: bytes | None = None, max_bytes: int = MAX_BYTES
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the manifest and the members, checked.

    Args:
        name: of the file, for messages. key: a signature by it is required. max_bytes: of all members in memory.

    Raises:
        DataError: the file is damaged, hostile, unsigned or signed by another key.
    """
    with _open(data, name) as archive:
        entries = _check_entries(archive, name, max_bytes)
        head = _read(archive, entries, MANIFEST, name)
        if key is not None:
            _check_signature(head, _read(archive, entries, SIGNATURE, name) if SIGNATURE in entries else b"", key, name)
        manifest = _parse(head, name)
        sums = manifest.get("members")
        if not isinstance(sums, dict) or set(sums) != set(entries) - {MANIFEST, SIGNATURE}:
            raise _damaged(name, "its members are not those that the manifest names")
        members = {member: _read(archive, entries, member, name) for member in sums}
    for member, content in members.items():
        noted = sums[member].get("sha256") if isinstance(sums[member], dict) else None
        if noted != hashlib.sha256(content).hexdigest():
            raise _damaged(name, f"{member} has another checksum than the manifest says")
    return manifest, members


def unpack_manifest(data: bytes, name: str) -> dict[str, Any]:
    """Return the manifest alone, without a look at the members."""
    with _open(data, name) as archive:
        return _parse(_read(archive, _check_entries(archive, name, MAX_BYTES), MANIFEST, name), name)


def _open(data: bytes, name: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except DAMAGED as error:
        raise _damaged(name, f"it is no model file, or cut off ({error})") from error


def _check_entries(archive: zipfile.ZipFile, name: str, max_bytes: int) -> dict[str, zipfile.ZipInfo]:
    entries = archive.infolist()
    if len(entries) > MAX_MEMBERS:
        raise _damaged(name, f"it has {len(entries)} members")
    total = 0
    for entry in entries:
        if not NAMES.fullmatch(entry.orig_filename):
            raise _damaged(name, f"it has a member of the unexpected name {entry.orig_filename[:80]!r}")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
            raise _damaged(name, f"{entry.filename} is encrypted or compressed in an unknown way")
        if entry.file_size > SMALL and entry.file_size > MAX_RATIO * entry.compress_size:
            raise _damaged(
                name, f"{entry.filename} would grow {entry.file_size / max(entry.compress_size, 1):.0f}-fold"
            )
        total += entry.file_size
    if total > max_bytes:
        raise DataError(
            f"{name} would take {total:,} bytes of memory, more than the {max_bytes:,} allowed. Where you trust it, load "
            "it with a greater max_bytes."
        )
    found = {entry.filename: entry for entry in entries}
    if len(found) < len(entries):
        raise _damaged(name, "a member appears twice")
    return found


def _read(archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo], member: str, name: str) -> bytes:
    if member not in entries:
        raise _damaged(name, f"it has no {member}")
    try:
        with archive.open(entries[member]) as file:
            content = file.read(entries[member].file_size)
    except DAMAGED as error:
        raise _damaged(name, f"{member} cannot be read ({error})") from error
    if len(content) != entries[member].file_size:
        raise _damaged(name, f"{member} is cut off")
    return content


def _parse(head: bytes, name: str) -> dict[str, Any]:
    try:
        manifest = json.loads(head)
    except (ValueError, RecursionError) as error:
        raise _damaged(name, "its manifest is no JSON") from error
    if not isinstance(manifest, dict):
        raise _damaged(name, "its manifest is no JSON object")
    return manifest


def _check_signature(head: bytes, signature: bytes, key: bytes, name: str) -> None:
    if not signature:
        raise DataError(f"{name} is not signed, but a key was given. Save it with the key, or load it without one.")
    if not hmac.compare_digest(hmac.new(key, head, hashlib.sha256).hexdigest().encode(), signature):
        raise DataError(f"{name} was signed with another key, or changed since: do not use it.")


def _damaged(name: str, why: str) -> DataError:
    return DataError(f"{name} is damaged or was not written by automl: {why}. Save or copy it again.")
