"""How to fit the model again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from automl.report.section import Section, Table

if TYPE_CHECKING:
    from automl.model import Model

__all__ = ["again_section"]

COMMAND = {
    "metric": "--metric",
    "task": "--task",
    "seed": "--seed",
    "quality": "--quality",
    "time_limit": "--time-limit",
}


def again_section(model: Model) -> Section:
    """Give the command and the call that fit this model, and what they ran on."""
    origin: dict[str, Any] = model.info.get("origin", {})
    if not origin:
        return Section("Fit it again", ["The model's file does not say how it was fitted."])
    asked: dict[str, Any] = origin.get("arguments", {})
    distilled = "distilled" in model.info
    text = []
    if asked.get("time_limit") is not None:
        text.append(
            "Within a time limit, a faster machine tries more: for the very same model on any machine, give max_trials "
            "and no time limit. A fit of the same data with the same arguments goes on from its journal where that is kept."
        )
    if origin.get("key"):
        text.append(f"The encoded training table has the fingerprint {origin['key']}.")
    code = [_distill(asked) if distilled else _call(model, asked, origin)]
    by_target = any(isinstance(value, Mapping) for value in asked.values())
    if asked.get("time_limit") is not None and not set(asked) - set(COMMAND) and not by_target and not distilled:
        code.insert(0, _command(model, asked, origin))
    versions = {**model.info.get("versions", {}), **origin.get("versions", {})}
    tables = [Table(("package", "version"), [[name, str(version)] for name, version in versions.items()], 2)]
    return Section("Fit it again", text, tables if versions else [], code=code)


def _command(model: Model, asked: dict[str, Any], origin: dict[str, Any]) -> str:
    words = ["automl", "fit", str(origin.get("data") or "DATA"), *_targets(model)]
    for name, value in asked.items():
        words += [COMMAND[name], f"{value:g}" if isinstance(value, float) else str(value)]
    for name in ("executor", "learners"):
        if origin.get(name):
            words += [f"--{name}", origin[name] if isinstance(origin[name], str) else ",".join(origin[name])]
    return shlex.join(words) + (" --unlabelled MORE" if "unlabelled" in model.info else "")


def _call(model: Model, asked: dict[str, Any], origin: dict[str, Any]) -> str:
    given = [f"{name}={value!r}" for name, value in asked.items()]
    data = repr(origin["data"]) if origin.get("data") else "data"
    more = ", unlabelled=more" if "unlabelled" in model.info else ""
    return f"AutoML({', '.join(given)}).fit({data}, target={model.info.get('targets', model.target)!r}{more})"


def _distill(asked: dict[str, Any]) -> str:
    given = [f"{name}={value!r}" for name, value in asked.items() if name not in ("metric", "task")]
    return f"teacher.distill(data, {', '.join(given)})"


def _targets(model: Model) -> list[str]:
    """Return the options for all targets that were fitted together."""
    return [word for target in model.info.get("targets", [model.target]) for word in ("--target", target)]
