"""Texts as a few numbers each: hashed words and word pairs, TF-IDF, and a truncated SVD.

The SVD is latent semantic analysis (Deerwester et al., 1990). Words and pairs are hashed (Weinberger et al., 2009), so the
model holds no vocabulary: only a row of the projection for each bucket that training saw often enough.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

__all__ = ["BUCKETS", "Projection", "fit_projection", "split_words"]

BITS = 18
BUCKETS = 1 << BITS
CHUNK = 512
MAX_TERMS = 10_000
MAX_DIMENSIONS = 32
ROWS_PER_DIMENSION = 50
SAMPLE = 20_000
POWER_STEPS = 2
WORD = re.compile(r"\w+")
PAIR = np.uint32(0x9E3779B1)

split_words = WORD.findall


@lru_cache(maxsize=1 << 16)  # bounded: a server sees ever new words
def _hash_word(word: str) -> int:
    return crc32(word.encode("utf-8", "replace"))


def count_terms(words: Sequence[Sequence[str]]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Count buckets by text.

    Args:
        words: lower-case words of each text.

    Returns:
        text, bucket, count, in increasing order of (text, bucket).
    """
    lengths = np.array([len(item) for item in words], dtype=np.int64)
    hashes = np.array([_hash_word(word) for item in words for word in item], dtype=np.uint32)
    owner = np.repeat(np.arange(len(words), dtype=np.int64), lengths)
    same = owner[:-1] == owner[1:]
    pairs = ((hashes[:-1] * PAIR) ^ (hashes[1:] >> np.uint32(7)) ^ hashes[1:])[same]
    buckets = np.concatenate([hashes, pairs]).astype(np.int64) & (BUCKETS - 1)
    owners = np.concatenate([owner, owner[:-1][same]])
    keys = np.sort((owners << BITS) | buckets)
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    counts = np.diff(starts, append=len(keys))
    keys = keys[starts]
    return keys >> BITS, keys & (BUCKETS - 1), counts


def _count_terms_of_one(words: Sequence[str]) -> dict[int, int]:
    """Count buckets of one text, as `count_terms` does."""
    hashes = [_hash_word(word) for word in words]
    counts: dict[int, int] = {}
    for term in hashes:
        bucket = term & (BUCKETS - 1)
        counts[bucket] = counts.get(bucket, 0) + 1
    multiplier = int(PAIR)  # only the low bits of the product are kept, so it may be longer than 32 bits
    for first, second in pairwise(hashes):
        bucket = ((first * multiplier) ^ (second >> 7) ^ second) & (BUCKETS - 1)
        counts[bucket] = counts.get(bucket, 0) + 1
    return counts


@dataclass(frozen=True, eq=False)
class Projection:
    """A fitted projection.

    Attributes:
        buckets: int32 (terms,), increasing. idf: float32 (terms,). components: float32 (terms, dimensions).
    """

    buckets: NDArray[np.int32]
    idf: NDArray[np.float32]
    components: NDArray[np.float32]

    @cached_property
    def _places(self) -> NDArray[np.int32]:
        return _number_buckets(self.buckets)

    def project_one(self, words: Sequence[str]) -> NDArray[np.float32]:
        """Return shape (dimensions,), the same bits as `project`: a server encodes one text at a time."""
        counts = sorted(_count_terms_of_one(words).items())
        bucket = np.array([bucket for bucket, _ in counts], dtype=np.int64)
        count = np.array([count for _, count in counts], dtype=np.int64)
        _, place, part = _weigh(self._places, self.idf, bucket, bucket, count)
        if not len(part):
            return np.zeros(self.components.shape[1], dtype=np.float32)
        projected: NDArray[np.float32] = (part @ self.components[place]) / np.sqrt(part @ part)
        return projected

    def project(self, words: Sequence[Sequence[str]]) -> NDArray[np.float32]:
        """Return shape (texts, dimensions); zeros for a text without a known term."""
        result = np.zeros((len(words), self.components.shape[1]), dtype=np.float32)
        for start in range(0, len(words), CHUNK):
            text, place, weight = _weigh(self._places, self.idf, *count_terms(words[start : start + CHUNK]))
            ends = np.searchsorted(text, np.arange(min(CHUNK, len(words) - start) + 1)).tolist()
            for row in range(len(ends) - 1):
                low, high = ends[row], ends[row + 1]
                if low < high:
                    part = weight[low:high]
                    result[start + row] = (part @ self.components[place[low:high]]) / np.sqrt(part @ part)
        return result


def _number_buckets(buckets: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the place in `buckets` of every bucket, -1 for none."""
    places = np.full(BUCKETS, -1, dtype=np.int32)
    places[buckets] = np.arange(len(buckets), dtype=np.int32)
    return places


def _weigh(
    places: NDArray[np.int32],
    idf: NDArray[np.float32],
    text: NDArray[np.int64],
    bucket: NDArray[np.int64],
    count: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    place = places[bucket]
    known = place >= 0
    text, place, count = text[known], place[known], count[known]
    return text, place, ((1 + np.log(count)) * idf[place]).astype(np.float32)


def fit_projection(words: Sequence[Sequence[str]], *, seed: int = 0) -> Projection | None:
    """Fit on the words of each text; None where the texts share too few terms.

    A sample of 20,000 texts and the 10,000 terms that most of them share bound the time to seconds.
    """
    from scipy.sparse import csr_matrix
    from sklearn.utils.extmath import randomized_svd

    if len(words) > SAMPLE:
        chosen = np.sort(np.random.default_rng(seed).choice(len(words), SAMPLE, replace=False))
        words = [words[i] for i in chosen]
    text, bucket, count = count_terms(words)
    frequency = np.bincount(bucket, minlength=BUCKETS)
    least = 3 if len(words) >= 1000 else 2
    kept = np.argsort(-frequency, kind="stable")[:MAX_TERMS]
    kept = np.sort(kept[frequency[kept] >= least])
    dimensions = min(MAX_DIMENSIONS, max(4, len(words) // ROWS_PER_DIMENSION), len(kept) // 4)
    if dimensions < 2:
        return None
    idf = (np.log((1 + len(words)) / (1 + frequency[kept])) + 1).astype(np.float32)
    buckets = kept.astype(np.int32)
    text, place, weight = _weigh(_number_buckets(buckets), idf, text, bucket, count)
    norms = np.sqrt(np.bincount(text, weights=weight * weight, minlength=len(words)))
    weight = (weight / norms[text]).astype(np.float32)
    matrix = csr_matrix((weight, (text, place)), shape=(len(words), len(kept)))
    _, _, components = randomized_svd(matrix, dimensions, n_iter=POWER_STEPS, random_state=seed)
    return Projection(buckets, idf, np.ascontiguousarray(components.T, dtype=np.float32))
