"""Announce the learner to the engine."""

from __future__ import annotations

from collections.abc import Iterable

from automl_core import Context, Learner, Provider, hookimpl


def build(context: Context) -> Learner:
    from automl_template.learner import Linear

    return Linear()


@hookimpl
def automl_learners() -> Iterable[Provider[Learner]]:
    yield Provider("template", build, "Fit linear models in closed form.")
