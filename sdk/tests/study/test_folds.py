from __future__ import annotations

import numpy as np
import pytest

from automl.study.folds import make_splits

RNG = np.random.default_rng(0)
CLASSES = RNG.choice(3, 300, p=[0.7, 0.25, 0.05]).astype(float)


@pytest.mark.parametrize("folds", [2, 3, 5, 8])
@pytest.mark.parametrize("classes", [0, 3])
def test_every_row_is_judged_exactly_once(folds, classes):
    splits = make_splits(CLASSES, classes=classes, folds=folds, seed=1)
    judged = np.concatenate([split.valid for split in splits])
    assert sorted(judged) == list(range(300))
    assert all(len(np.intersect1d(split.train, split.valid)) == 0 for split in splits)


def test_classes_are_spread_evenly():
    for split in make_splits(CLASSES, classes=3, folds=5, seed=0):
        share = np.bincount(CLASSES[split.valid].astype(int), minlength=3) / len(split.valid)
        assert share == pytest.approx(np.bincount(CLASSES.astype(int)) / 300, abs=0.02)


def test_a_number_is_spread_evenly():
    target = RNG.lognormal(size=400)
    means = [target[split.valid].mean() for split in make_splits(target, classes=0, folds=5, seed=0)]
    assert max(means) < 1.5 * min(means)


def test_a_class_with_one_member_stays_in_training():
    target = np.r_[np.zeros(50), np.ones(50), 2.0]
    for split in make_splits(target, classes=3, folds=5, seed=0):
        assert 100 in split.train


@pytest.mark.parametrize("members", [2, 3, 4])
def test_a_rare_class_keeps_a_member_in_every_training_part(members):
    target = np.r_[np.zeros(50), np.ones(50), np.full(members, 2.0)]
    for seed in range(5):
        for split in make_splits(target, classes=3, folds=5, seed=seed):
            assert (target[split.train] == 2).any()


def test_a_holdout_takes_its_share():
    (split,) = make_splits(CLASSES, classes=3, folds=1, seed=0, holdout=0.1)
    assert len(split.valid) == pytest.approx(30, abs=2)


def test_a_group_is_never_on_both_sides():
    groups = RNG.integers(0, 40, 300)
    for split in make_splits(CLASSES, classes=3, folds=5, seed=0, groups=groups):
        assert not set(groups[split.train]) & set(groups[split.valid])


@pytest.mark.parametrize("folds", [1, 4])
def test_time_judges_by_later_rows(folds):
    time = RNG.permutation(300)
    for split in make_splits(CLASSES, classes=3, folds=folds, seed=0, time=time):
        assert time[split.train].max() < time[split.valid].min()


def test_the_same_seed_gives_the_same_splits():
    one, two = (make_splits(CLASSES, classes=3, folds=5, seed=7) for _ in range(2))
    assert all((a.valid == b.valid).all() for a, b in zip(one, two, strict=True))
