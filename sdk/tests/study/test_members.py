from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from automl.metrics import METRICS, resolve_metric
from automl.study.folds import make_splits
from automl.study.frame import Fitted, Frame
from automl.study.members import Member, fold_losses
from automl.study.views import Recipe
from automl_core import BINARY, Column, Data, Trial

ROWS, FOLDS = 90, 3
RNG = np.random.default_rng(0)
TARGET = (RNG.random(ROWS) < 0.5).astype(np.float64)
CHANCES = RNG.random(ROWS).astype(np.float32)
DATA = Data(np.zeros((ROWS, 1), dtype=np.float32), (Column("x"),), TARGET)
SPLITS = make_splits(TARGET, classes=2, folds=FOLDS, seed=0, holdout=None)
FRAME = Frame(DATA, SPLITS, BINARY, 2, 0)


def member(*parts: int) -> Member:
    said = np.column_stack([1 - CHANCES, CHANCES])
    fits = {
        part: Fitted(part, SimpleNamespace(rounds=None), np.arange(1), (), said[SPLITS[part].valid], 0.0)
        for part in parts
    }
    return Member(Trial(0, "given", {}), "base", Recipe((0,)), 0.0, "", fits)


def test_folds_alone_have_the_loss_of_their_rows() -> None:
    from sklearn.metrics import roc_auc_score

    losses = fold_losses(member(*range(FOLDS)), FRAME, METRICS["roc_auc"])
    assert losses == pytest.approx([1 - roc_auc_score(TARGET[s.valid], CHANCES[s.valid]) for s in SPLITS])


def test_fold_that_was_not_fitted_or_weighs_nothing_has_none() -> None:
    weight = np.ones(ROWS)
    weight[SPLITS[1].valid] = 0
    weighted = Frame(replace(DATA, weight=weight), SPLITS, BINARY, 2, 0)
    assert [loss is None for loss in fold_losses(member(2), FRAME, METRICS["log_loss"])] == [True, True, False]
    assert [loss is None for loss in fold_losses(member(0, 1), weighted, METRICS["log_loss"])] == [False, True]
    assert fold_losses(member(), FRAME, METRICS["log_loss"]) == ()


def test_function_of_the_user_is_not_asked_about_folds() -> None:
    def picky(target: np.ndarray, label: np.ndarray) -> float:
        raise ValueError("too few rows")

    for metric in (picky, "f1_micro"):
        assert fold_losses(member(0), FRAME, resolve_metric(metric, BINARY)) == ()
