"""Random secrets of a stack, each a file that its owner alone may read."""

from __future__ import annotations

from pathlib import Path
from secrets import token_urlsafe

__all__ = ["make_secrets", "read_secret"]


def make_secrets(folder: Path) -> None:
    """Write REDIS_PASSWORD, SCRAPE_KEY (that of Prometheus) and API_KEYS (a client's first) where they are not there yet."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for name in ("REDIS_PASSWORD", "SCRAPE_KEY"):
        _write(folder / name, token_urlsafe(32))
    _write(folder / "API_KEYS", f"{token_urlsafe(32)}\n{read_secret(folder, 'SCRAPE_KEY')}")


def read_secret(folder: Path, name: str) -> str:
    """Return the first line of a secret."""
    return (folder / name).read_text(encoding="utf-8").split()[0]


def _write(path: Path, text: str) -> None:
    if path.exists():
        return
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    part.touch(0o600)
    part.write_text(text + "\n", encoding="utf-8")
    part.rename(path)
