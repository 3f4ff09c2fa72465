from __future__ import annotations

import pytest

from automl_core.words import word_of


def test_the_same_words_give_the_same_one_in_any_order() -> None:
    text = "A Delivery that came late, and the parcel was damaged!"
    assert word_of(text) == word_of("damaged parcel; the delivery came late and that was a") in text.lower()


def test_other_words_give_others() -> None:
    texts = [f"subject{i} verb{i} object{i}" for i in range(300)]
    drawn = [word_of(text) for text in texts]
    assert len(set(drawn)) == 300
    assert all(60 < sum(word.startswith(part) for word in drawn) < 140 for part in ("subject", "object"))


@pytest.mark.parametrize(
    ("text", "word"), [("", ""), ("!?", ""), ("ab", "ab"), ("is it so little", "little"), ("\ud800x", "x")]
)
def test_short_words_stand_back(text: str, word: str) -> None:
    assert word_of(text) == word
