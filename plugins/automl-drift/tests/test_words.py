"""What texts are about: new words alarm, as many as before and texts as long as before do not."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from automl_core.words import word_of
from automl_drift.profile import profiles_of_schema
from automl_drift.quality import violations
from automl_drift.watch import DRIFT, OK, Watch

BEFORE, AFTER = (np.array([f"{stem}{i:04}" for i in range(600)]) for stem in ("known", "novel"))
OFTEN = 1 / np.arange(10, 610)
EDGES = [0.0, 50.0, 100.0, 150.0, 200.0]


def texts(rows: int, random: np.random.Generator, *, novel: float = 0.0) -> list[str]:
    """Return texts of twelve words of nine letters, a share of them from the other vocabulary."""
    words = random.choice(600, size=(rows, 12), p=OFTEN / OFTEN.sum())
    return [" ".join(np.where(random.random(12) < novel, AFTER[row], BEFORE[row])) for row in words]


def schema(random: np.random.Generator, *, missing: float = 0.0) -> dict[str, Any]:
    counted = Counter(word_of(text) for text in texts(5000, random))
    top = counted.most_common(50)
    statistics = {
        "missing": missing,
        "edges": EDGES,
        "counts": [0, 0, 5000, 0],
        "levels": [word for word, _ in top],
        "level_counts": [count for _, count in top],
        "other": counted.total() - sum(count for _, count in top),
    }
    return {"rows": 5000, "inputs": [{"name": "review", "kind": "text", "statistics": statistics}]}


def watch(seed: int, rows: int, novel: float) -> Watch:
    random = np.random.default_rng(seed)
    watched = Watch(profiles_of_schema(schema(random)))
    for _ in range(rows // 100):
        watched.add(watched.count({"review": texts(100, random, novel=novel)}, 100), 100)
    return watched


@pytest.mark.parametrize("seed", range(5))
def test_texts_like_the_reference_are_quiet(seed: int) -> None:
    assert watch(seed, 3000, 0.0).report().status == OK


@pytest.mark.parametrize("seed", range(3))
def test_a_third_of_new_words_is_a_drift_of_the_words_alone(seed: int) -> None:
    report = watch(seed, 1500, 1 / 3).report()
    assert report.status == DRIFT
    assert report.drifted == ("review (words)",)
    assert all(not violations(finding) for finding in report.findings if finding.profile.kind == "words")


def test_missing_texts_are_counted_once_as_such() -> None:
    profiles = profiles_of_schema(schema(np.random.default_rng(0), missing=0.2))
    length, words = profiles
    assert words.counts[-1] == pytest.approx(5000 * 0.2 / 0.8, abs=1)
    found = Watch(profiles).count({"review": ["known0001 known0002", None, float("nan")]}, 3)
    assert [found[profile.name][-1] for profile in profiles] == [2, 2]
    assert words.key != length.key


def test_a_reference_without_words_watches_the_lengths() -> None:
    told = schema(np.random.default_rng(0))
    del told["inputs"][0]["statistics"]["levels"]
    assert [profile.name for profile in profiles_of_schema(told)] == ["review"]
