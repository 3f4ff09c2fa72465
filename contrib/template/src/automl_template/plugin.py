"""Register the learner with the engine."""

from __future__ import annotations

from collections.abc import Iterable

from automl_core import Context, Learner, Provider, hookimpl


def build(context: Context) -> Learner:
    from automl_template.learner import Centres

    return Centres()


@hookimpl
def automl_learners() -> Iterable[Provider[Learner]]:
    yield Provider("template", build, "The nearest class centre, as an example.")
