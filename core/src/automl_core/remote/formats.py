"""Formats of data sets, by the suffixes of files."""

from __future__ import annotations

from pathlib import PurePosixPath

__all__ = ["COMPRESSIONS", "FORMATS", "format_of", "is_data"]

COMPRESSIONS = frozenset({".gz", ".bz2", ".zst", ".lz4"})
FORMATS = {
    ".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".txt": "csv", ".tsv": "tsv", ".json": "json",
    ".jsonl": "json", ".ndjson": "json", ".arrow": "ipc", ".ipc": "ipc", ".feather": "ipc",
}  # fmt: skip


def format_of(path: str) -> str:
    """Return the format that a file's name tells, looking through compression; an empty string for an unknown one."""
    plain = PurePosixPath(path)
    if plain.suffix.lower() in COMPRESSIONS:
        plain = plain.with_suffix("")
    return FORMATS.get(plain.suffix.lower(), "")


def is_data(path: str) -> bool:
    """Whether a file below a folder of data is part of it: of a known format, and not hidden (`_SUCCESS`, `.crc`)."""
    return bool(format_of(path)) and not any(part.startswith((".", "_")) for part in PurePosixPath(path).parts)
