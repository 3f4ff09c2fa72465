"""A new plugin: a distribution of its own, which passes its conformance tests as it is."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from automl.authoring.kinds import EXAMPLES
from automl_core.discovery import FIRST_PARTY, NAME
from automl_core.errors import PluginError
from automl_core.kinds import KINDS
from automl_core.plugins import hook_name

__all__ = ["RESERVED", "make_plugin"]

# `automl plugins WORD` would be the command.
RESERVED = frozenset({"check", "new", "show"})

PROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "automl-{dashed}"
version = "0.1.0"
description = "{summary}"
readme = "README.md"
requires-python = ">=3.11"
license = "Apache-2.0"
dependencies = [{requires}]

[project.optional-dependencies]
test = ["automl-core[testing]"]

[project.entry-points.automl]
{name} = "automl_{name}.plugin"

[tool.setuptools.packages.find]
where = ["src"]

[tool.setuptools.package-data]
automl_{name} = ["py.typed"]
"""

README = """\
# automl-{dashed}

A {kind} for the AutoML engine. {summary}

```sh
pip install -e '.[test]'
pytest                          # the conformance suites
automl plugins {name}
automl plugins check {name}
{use}
```

`src/automl_{name}/plugin.py` announces it and imports nothing heavy; `src/automl_{name}/{kind}.py` does the work, and is what
to replace. The docstrings of `automl_core.{Kind}` are the contract, the README of automl-core is the guide.

```sh
pip install build twine
python -m build                 # dist/: a wheel and a source archive
twine check --strict dist/*
twine upload dist/*
```
"""

PLUGIN = '''\
"""Announce the {kind} to the engine."""

from __future__ import annotations

from collections.abc import Iterable
{standard}
from automl_core import {names}, hookimpl
{typing}

def build(context: Context) -> {Kind}:
    from automl_{name}.{kind} import {parts}

{made}    return {call}
{told}

@hookimpl
def {hook}() -> Iterable[Provider[{Kind}]]:
    yield Provider("{name}", build, "{summary}"{option})
'''

TYPING = """
if TYPE_CHECKING:
    from automl_core import PluginSettings
"""

SETTINGS = """

def settings() -> type[PluginSettings]:
    from automl_{name}.{kind} import {settings}

    return {settings}
"""

TESTS = """\
from __future__ import annotations

{standard}import pytest

from automl_core import {names}
from automl_core.testing import {suites}
from automl_{name}.{kind} import {component}


class Test{component}({Kind}Conformance):{fixtures}

class TestPlugin(PluginConformance):
    plugin = "{name}"
"""


def make_plugin(name: str, kind: str, folder: Path) -> list[Path]:
    """Write the plugin `name` into a folder that is new or empty, and return its files.

    Raises:
        PluginError: the name is taken or cannot be one, there is no such kind, or the folder holds something.
    """
    if not NAME.fullmatch(name) or name in RESERVED:
        raise PluginError(f"a plugin cannot be named {name!r}: take small letters, digits and _, as in 'my_{kind}'.")
    if name in FIRST_PARTY:
        raise PluginError(f"the name {name!r} belongs to {FIRST_PARTY[name]}; take another one.")
    if kind not in EXAMPLES:
        raise PluginError(f"there is no kind {kind!r}; there are: {', '.join(EXAMPLES)}.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PluginError(f"{folder} holds something already; name another folder.")
    package = f"src/automl_{name}"
    texts = {
        "pyproject.toml": _fill(PROJECT, name, kind),
        "README.md": _fill(README, name, kind),
        f"{package}/__init__.py": "",
        f"{package}/py.typed": "",
        f"{package}/plugin.py": _plugin(name, kind),
        f"{package}/{kind}.py": (files("automl.authoring.template") / f"{kind}.py").read_text(encoding="utf-8"),
        f"tests/test_{name}.py": _tests(name, kind),
    }
    for path, text in texts.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return [folder / path for path in texts]


def _fill(text: str, name: str, kind: str, **more: str) -> str:
    example = EXAMPLES[kind]
    return text.format(
        name=name,
        dashed=name.replace("_", "-"),
        kind=kind,
        Kind=KINDS[kind].__name__,
        component=example.component,
        summary=example.summary,
        requires=", ".join(f'"{item}"' for item in ("automl-core>=0.1,<1", *example.requires)),
        use=example.use.format(name=name),
        settings=example.settings,
        **more,
    )


def _plugin(name: str, kind: str) -> str:
    example = EXAMPLES[kind]
    standard = ["from pathlib import Path"] if "Path(" in example.call else []
    standard += ["from typing import TYPE_CHECKING"] if example.settings else []
    return _fill(
        PLUGIN,
        name,
        kind,
        standard="".join(f"{line}\n" for line in standard),
        names=", ".join(sorted(("Context", "Provider", KINDS[kind].__name__))),
        typing=TYPING if example.settings else "",
        parts=", ".join(filter(None, (example.component, example.settings))),
        made=f"    settings = context.settings({example.settings})\n" if example.settings else "",
        call=example.call.format(name=name),
        told=_fill(SETTINGS, name, kind) if example.settings else "",
        hook=hook_name(kind),
        option=", settings" if example.settings else "",
    )


def _tests(name: str, kind: str) -> str:
    example = EXAMPLES[kind]
    used = {KINDS[kind].__name__, *re.findall(r"\b(?:Event|Trial|decode)\b", example.fixtures)}
    return _fill(
        TESTS,
        name,
        kind,
        standard=f"{example.imports}\n" if example.imports else "",
        names=", ".join(sorted(used)),
        suites=", ".join(sorted((f"{KINDS[kind].__name__}Conformance", "PluginConformance"))),
        fixtures=example.fixtures,
    )
