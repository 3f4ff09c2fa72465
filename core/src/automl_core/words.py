"""One word for each text, so that what texts are about can be counted as the levels of a category are."""

from __future__ import annotations

import re
from zlib import crc32

__all__ = ["word_of"]

WORDS = re.compile(r"\w+")
CHARACTERS = 1000  # of a text that are looked at
SHORT = 5  # letters below which a word says little of what a text is about


def word_of(text: str) -> str:
    """Return the word of the least hash: drawn as if by lot, but the same from the same words (Broder 1997).

    Words of fewer than five letters stand back where there are longer ones; "" for a text without any word.
    """
    found = set(WORDS.findall(text[:CHARACTERS].lower()))
    return min({word for word in found if len(word) >= SHORT} or found, key=_hash, default="")


def _hash(word: str) -> tuple[int, str]:
    return crc32(word.encode("utf-8", "replace")), word
