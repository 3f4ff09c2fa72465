from __future__ import annotations

import numpy as np
import pytest

from automl.encoder.texts import TextPart
from automl.encoder.tfidf import BUCKETS, count_terms, fit_projection, split_words
from automl.table import open_table

TOPICS = (["cat", "dog", "horse", "bird", "fish"], ["stock", "bond", "market", "price", "fund"])


def documents(count, seed=0):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(TOPICS[i % 2], 6)) for i in range(count)]


def test_words_and_pairs_are_counted_by_text():
    text, bucket, count = count_terms([["a", "b", "a", "b"], [], ["a"]])
    assert text.tolist() == [0, 0, 0, 0, 2]
    assert sorted(count[:4].tolist()) == [1, 2, 2, 2]  # b-a, then a, b and a-b
    assert ((bucket >= 0) & (bucket < BUCKETS)).all()
    assert bucket[4] in bucket[:4]


def test_the_order_of_words_matters_to_pairs():
    ab, ba = (set(count_terms([words])[1].tolist()) for words in (["a", "b"], ["b", "a"]))
    assert len(ab & ba) == 2
    assert len(ab | ba) == 4


def test_topics_fall_apart_in_the_projection():
    words = [split_words(item) for item in documents(300)]
    projected = fit_projection(words).project(words)
    first, second = projected[0::2, :2], projected[1::2, :2]
    within = np.linalg.norm(first - first.mean(axis=0), axis=1).mean()
    assert np.linalg.norm(first.mean(axis=0) - second.mean(axis=0)) > 2 * within


def test_the_projection_is_that_of_scikit_learns_svd():
    from scipy.sparse import csr_matrix
    from sklearn.decomposition import TruncatedSVD

    words = [split_words(item) for item in documents(300)]
    projection = fit_projection(words)
    text, bucket, count = count_terms(words)
    known = np.isin(bucket, projection.buckets)
    text, place = text[known], np.searchsorted(projection.buckets, bucket[known])
    dense = csr_matrix(((1 + np.log(count[known])) * projection.idf[place], (text, place))).toarray()
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    expected = TruncatedSVD(2, algorithm="arpack", random_state=0).fit_transform(dense)
    np.testing.assert_allclose(np.abs(projection.project(words)[:, :2]), np.abs(expected), atol=0.01)


def test_the_same_seed_gives_the_same_projection():
    words = [split_words(item) for item in documents(200)]
    np.testing.assert_array_equal(fit_projection(words, seed=3).components, fit_projection(words, seed=3).components)


def test_texts_that_share_nothing_have_no_projection():
    assert fit_projection([[f"w{i}"] for i in range(50)]) is None


def test_a_text_of_unknown_words_is_zero():
    projection = fit_projection([split_words(item) for item in documents(200)])
    assert not projection.project([["zebra"], []]).any()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ab 12", [5, 2, 0.4, 0.2]),
        ("", [0, 0, 0, 0]),
        ("ÄÖ٣", [3, 1, 1 / 3, 2 / 3]),
        ("😀", [1, 0, 0, 0]),
        (12, [2, 1, 1, 0]),
    ],
)
def test_the_shape_of_a_text(text, expected):
    part = TextPart("t", ("characters", "words", "digits", "capitals"), None)
    np.testing.assert_allclose(part.block([text])[0], np.array(expected, dtype=np.float32))


def test_a_missing_text_is_missing_in_every_column():
    part = TextPart.fit("t", open_table({"t": documents(200)})["t"])
    assert np.isnan(part.block([None])).all()
    assert len(part.columns) > 3


@pytest.mark.parametrize(
    "text",
    ["", "b a b a b a", "Kein Wort davon", "word0 word1 word0", "٣ 12 AB", "😀 ab \ud800 x", "a" * 5000, 12, 3.5],
)
def test_a_text_alone_is_encoded_as_among_others(text):
    texts = [" ".join(f"word{(i * j) % 7} a b{i % 3}" for j in range(5)) for i in range(60)]
    part = TextPart.fit("t", open_table({"t": texts})["t"])
    assert part.projection is not None
    assert part.block([text]).tobytes() == part.block([text, "other"])[:1].tobytes()
