"""CatBoost's hashes of categories and of their combinations, vectorised."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LARGEST", "MISSING", "combine", "hash_codes"]

MISSING = -1  # the code that stands for a missing category
LARGEST = 99_999_999  # codes beyond have names of another length, and another branch of the hash

_K2, _K3 = np.uint64(0x9AE16A3B2F90404F), np.uint64(0xC949D7C7509E6557)
_MULTIPLY = np.uint64(0x9DDFEA08EB382D69)
_COMBINE = np.uint64(0x4906BA494954CB65)


def hash_codes(codes: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return what CatBoost takes for the categories named "-1", "0", "1", ...

    That is CityHash64 (version 1.0) of the name, its lower half as a signed number, extended to 64 bits.

    Args:
        codes: int64 of any shape (n,), from MISSING to LARGEST.

    Raises:
        ValueError: a code is out of these bounds.
    """
    if codes.size and (codes.min() < MISSING or codes.max() > LARGEST):
        raise ValueError(f"category codes must lie in [{MISSING}, {LARGEST}], not [{codes.min()}, {codes.max()}]")
    distinct, place = np.unique(codes, return_inverse=True)
    names = distinct.astype("S8")
    length = np.char.str_len(names).astype(np.uint64)
    characters = names.view(np.uint8).reshape(len(names), 8).astype(np.uint64)
    last = length.astype(np.int64) - 1
    city = np.where(length < 4, _up_to_3(characters, length, last), _up_to_8(characters, length, last))
    low = city.astype(np.uint32).view(np.int32)
    return low.astype(np.int64).view(np.uint64)[place]


def combine(hashed: NDArray[np.uint64], digit: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the hash of a combination and one more part (`CalcHash` in CatBoost's model/hash.h)."""
    return _COMBINE * (hashed + _COMBINE * digit)


def _up_to_3(characters: NDArray[np.uint64], length: NDArray[np.uint64], last: NDArray[np.int64]) -> NDArray[np.uint64]:
    rows = np.arange(len(last))
    first, middle, final = characters[:, 0], characters[rows, (last + 1) // 2], characters[rows, last]
    mixed = (first + (middle << np.uint64(8))) * _K2 ^ (length + (final << np.uint64(2))) * _K3
    return _shift_mix(mixed) * _K2


def _up_to_8(characters: NDArray[np.uint64], length: NDArray[np.uint64], last: NDArray[np.int64]) -> NDArray[np.uint64]:
    weights = np.uint64(1) << np.arange(0, 32, 8, dtype=np.uint64)
    head = characters[:, :4] @ weights
    tail = characters[np.arange(len(last))[:, None], np.maximum(last, 3)[:, None] + np.arange(-3, 1)] @ weights
    first, second = length + (head << np.uint64(3)), tail
    mixed = (first ^ second) * _MULTIPLY
    mixed ^= mixed >> np.uint64(47)
    mixed = (second ^ mixed) * _MULTIPLY
    mixed ^= mixed >> np.uint64(47)
    return mixed * _MULTIPLY


def _shift_mix(number: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return number ^ (number >> np.uint64(47))
