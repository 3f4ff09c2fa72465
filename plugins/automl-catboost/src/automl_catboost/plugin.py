"""Register CatBoost with the engine."""

from __future__ import annotations

from collections.abc import Iterable

from automl_core import Context, Learner, Provider, hookimpl


def build(context: Context) -> Learner:
    from automl_catboost.learner import CatBoostLearner

    return CatBoostLearner()


@hookimpl
def automl_learners() -> Iterable[Provider[Learner]]:
    yield Provider("catboost", build, "Gradient boosted oblivious trees with target statistics by CatBoost.")
