"""The learners of this plugin: `sklearn` in settings stands for all of them, `sklearn.linear` for one."""

from __future__ import annotations

from collections.abc import Iterable

from automl_core import Context, Learner, Provider, hookimpl


def build_linear(context: Context) -> Learner:
    from automl_sklearn.linear import Linear

    return Linear()


def build_random_forest(context: Context) -> Learner:
    from automl_sklearn.forest import RandomForest

    return RandomForest()


def build_extra_trees(context: Context) -> Learner:
    from automl_sklearn.forest import ExtraTrees

    return ExtraTrees()


def build_boosting(context: Context) -> Learner:
    from automl_sklearn.boosting import HistGradientBoosting

    return HistGradientBoosting()


def build_neighbors(context: Context) -> Learner:
    from automl_sklearn.neighbors import KNearestNeighbors

    return KNearestNeighbors()


def build_perceptron(context: Context) -> Learner:
    from automl_sklearn.perceptron import Perceptron

    return Perceptron()


@hookimpl
def automl_learners() -> Iterable[Provider[Learner]]:
    yield Provider("linear", build_linear, "Logistic and ridge regression over a path of penalties.")
    yield Provider("random_forest", build_random_forest, "Bagged trees on the best splits.")
    yield Provider("extra_trees", build_extra_trees, "Trees on random splits.")
    yield Provider("hist_gradient_boosting", build_boosting, "Boosted trees on binned columns.")
    yield Provider("perceptron", build_perceptron, "A multilayer perceptron on scaled numbers and indicators.")
    # Its models need scikit-learn to predict, which takes a second to import.
    yield Provider(
        "k_nearest_neighbors",
        build_neighbors,
        "The mean of the most similar rows; by this name alone.",
        on_request=True,
    )
