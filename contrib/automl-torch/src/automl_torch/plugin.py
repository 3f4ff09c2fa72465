"""The learner of this plugin: `torch` in settings."""

from __future__ import annotations

from collections.abc import Iterable

from automl_core import Context, Learner, Provider, hookimpl


def build_perceptron(context: Context) -> Learner:
    from automl_torch.learner import Perceptron

    return Perceptron()


@hookimpl
def automl_learners() -> Iterable[Provider[Learner]]:
    yield Provider("torch", build_perceptron, "A multilayer perceptron after RealMLP, for longer runs.")
