"""The plugin host: discover, select, activate, build, roll back, diagnose."""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pluggy

from automl_core import hookspecs
from automl_core.errors import PluginError, did_you_mean
from automl_core.kinds import KINDS, Component
from automl_core.providers import Context, Provider

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

    from automl_core.settings import Settings

__all__ = ["GROUP", "PluginInfo", "Plugins"]

GROUP = "automl"
NAME = re.compile(r"[a-z][a-z0-9_]*")
MAX_FAILURES = 5
log = logging.getLogger("automl.plugins")

# Advice to install is given for these names only: anyone could have registered another one.
FIRST_PARTY = {
    **dict.fromkeys(("file", "memory", "serial", "threads", "processes", "random", "journal", "log"), "automl-local"),
    **{
        name: f"automl-{name}"
        for name in (
            "azure", "catboost", "dask", "drift", "gcs", "lightgbm", "mlflow", "optuna",
            "prometheus", "ray", "redis", "s3", "sklearn", "starlette", "xgboost",
        )
    },
    "raytune": "automl-ray",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """One row of `automl plugins`, from metadata only.

    `status` is active, available, disabled, incompatible, conflict or broken; `reason` says why.
    """

    name: str
    distribution: str
    version: str
    status: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """An entry point of the group, with the distribution that brings it."""

    entry: EntryPoint
    distribution: Distribution

    @property
    def label(self) -> str:
        return f"plugin {self.entry.name!r} ({self.distribution.name} {self.distribution.version})"


class Plugins:
    """All plugins of one process, for one set of settings. There is no global one.

    Nothing is imported until a component is built; what is not selected can hurt nobody.
    """

    def __init__(self, settings: Settings, *, threads: int = 1) -> None:
        self.settings = settings
        self.threads = threads
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._found: dict[str, list[Found]] | None = None
        self._broken: dict[str, str] = {}
        self._failures: dict[str, int] = {}
        self._listeners: list[tuple[str, object]] = []

    # ---- discover

    @property
    def found(self) -> dict[str, list[Found]]:
        """Entry points by name; reads metadata, imports nothing."""
        if self._found is None:
            self._found = _discover()
        return self._found

    def installed(self, name: str) -> bool:
        """Whether a plugin of this name ("ray" or "ray.actors") is installed; says nothing about its health."""
        return name.partition(".")[0] in self.found

    def list(self) -> list[PluginInfo]:
        """Describe every installed plugin, sorted by name."""
        return [self._info(name, item) for name in sorted(self.found) for item in self.found[name]]

    def _info(self, name: str, item: Found) -> PluginInfo:
        status, reason = "available", ""
        if not NAME.fullmatch(name):
            status, reason = "broken", "the name must match [a-z][a-z0-9_]*"
        elif len(self.found[name]) > 1:
            others = ", ".join(sorted(other.distribution.name for other in self.found[name]))
            status, reason = "conflict", f"name claimed by {others}; uninstall all but one"
        elif name in self.settings.plugins_disabled:
            status, reason = "disabled", "listed in plugins_disabled"
        elif name in self._broken:
            status, reason = "broken", self._broken[name]
        elif problem := _incompatibility(item.distribution):
            status, reason = "incompatible", problem
        elif self._is_active(item):
            status = "active"
        return PluginInfo(name, item.distribution.name, item.distribution.version, status, reason)

    def _is_active(self, item: Found) -> bool:
        return self._manager.has_plugin(item.entry.module)

    # ---- activate

    def activate(self, name: str) -> object:
        """Import a plugin's entry module and register it.

        Raises:
            PluginError: the plugin is not installed, ambiguous, disabled, incompatible, or fails to load.
        """
        item = self._select(name)
        module = self._manager.get_plugin(item.entry.module)
        if module is not None:
            return module
        try:
            module = importlib.import_module(item.entry.module)
            self._register(module, item.entry.module)
        except (Exception, SystemExit) as error:  # a module may even call sys.exit
            self._broken[name] = f"{type(error).__name__}: {error}"
            raise PluginError(f"{item.label} failed to load: {type(error).__name__}: {error}") from error
        return module

    def _select(self, name: str) -> Found:
        candidates = self.found.get(name, [])
        if not candidates:
            raise PluginError(f"plugin {name!r} is not installed.{self._advice(name)}")
        if len(candidates) > 1:
            names = " and ".join(sorted(item.distribution.name for item in candidates))
            raise PluginError(f"plugin {name!r} is ambiguous: name claimed by {names}; uninstall one.")
        if name in self.settings.plugins_disabled:
            raise PluginError(f"plugin {name!r} is disabled: remove it from plugins_disabled to use it.")
        if problem := _incompatibility(candidates[0].distribution):
            raise PluginError(f"{candidates[0].label} is incompatible: {problem}")
        return candidates[0]

    def _advice(self, name: str) -> str:
        if name in FIRST_PARTY:
            return f" Install it with: pip install {FIRST_PARTY[name]}"
        installed = ", ".join(sorted(self.found)) or "none"
        return f"{did_you_mean(name, [*self.found, *FIRST_PARTY])} Installed plugins: {installed}."

    def _register(self, plugin: object, name: str) -> None:
        """Register and check at once, so that blame falls on the right plugin; leave nothing behind on failure."""
        self._manager.register(plugin, name)
        try:
            self._manager.check_pending()
            for caller in self._manager.get_hookcallers(plugin) or ():
                if any(impl.wrapper or impl.hookwrapper for impl in caller.get_hookimpls() if impl.plugin is plugin):
                    raise PluginError(f"{caller.name} is a wrapper; hooks of this engine take none")
        except BaseException:
            self._manager.unregister(plugin)
            raise

    # ---- build

    def providers(self, kind: str, name: str) -> list[tuple[str, Provider[Any]]]:
        """Return (full name, provider) for a word in settings: one of a plugin's providers, or all of them.

        "sklearn" stands for the provider of that name where there is one, else for all that the plugin has of this
        kind, named "sklearn.linear" and so on; "sklearn.linear" stands for that one.

        Raises:
            PluginError: see `activate`; or the plugin provides no such thing.
        """
        plugin, _, wanted = name.partition(".")
        module = self.activate(plugin)
        offered = {provider.name: provider for provider in self._offers(kind, module, plugin)}
        if not wanted and plugin in offered:
            return [(plugin, offered[plugin])]
        if not wanted and offered:
            return [(f"{plugin}.{key}", provider) for key, provider in offered.items()]
        if wanted in offered:
            return [(name, offered[wanted])]
        what = f"{kind} named {wanted!r}" if wanted else kind
        listed = f"it provides: {sorted(offered)}" if offered else f"it provides: {self._all_offers(module, plugin)}"
        raise PluginError(f"plugin {plugin!r} provides no {what}; {listed}.{did_you_mean(wanted, offered)}")

    def build(self, kind: str, name: str) -> Any:
        """Build the one component of `kind` that a word in settings names.

        Raises:
            PluginError: see `providers`; or the plugin has several and the word picks none; or building it failed.
            SettingsError: the plugin's block is wrong.
            ComponentUnavailable: its backing service does not answer.
        """
        found = self.providers(kind, name)
        if len(found) > 1:
            names = ", ".join(full for full, _ in found)
            raise PluginError(f"plugin {name!r} provides several {kind} components; name one of: {names}.")
        return self._build(kind, *found[0])

    def build_all(self, kind: str, names: Sequence[str]) -> dict[str, Any]:
        """Build every component that the words name, by full name, in order; each name once."""
        built: dict[str, Any] = {}
        for name in names:
            for full, provider in self.providers(kind, name):
                if full not in built:
                    built[full] = self._build(kind, full, provider)
        return built

    def _build(self, kind: str, full: str, provider: Provider[Any]) -> Component:
        from automl_core.errors import AutoMLError

        plugin = full.partition(".")[0]
        context = Context(
            plugin, self.settings.plugins.get(plugin, {}), threads=self.threads, directory=self.settings.directory
        )
        try:
            component = provider.build(context)
        except AutoMLError:
            raise
        except Exception as error:
            raise PluginError(
                f"{self._select(plugin).label} failed to build: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(component, KINDS[kind]):
            raise PluginError(
                f"{self._select(plugin).label} built a {type(component).__name__}, which is no {KINDS[kind].__name__}."
            )
        return component

    def _offers(self, kind: str, module: object, plugin: str) -> Iterator[Provider[Any]]:
        hook = getattr(module, _hook_name(kind), None)
        if hook is None:
            return
        seen: set[str] = set()
        for provider in hook():
            if provider.name in seen:
                raise PluginError(f"{self._select(plugin).label} offers two {kind} providers named {provider.name!r}.")
            seen.add(provider.name)
            # A module may stand behind several entry points: each sees its own provider and those of no other.
            if provider.name == plugin or provider.name not in self._siblings(plugin):
                yield provider

    def _siblings(self, plugin: str) -> set[str]:
        module = self.found[plugin][0].entry.module
        return {name for name, items in self.found.items() if any(item.entry.module == module for item in items)}

    def _all_offers(self, module: object, plugin: str) -> list[str]:
        return sorted(f"{kind} {p.name!r}" for kind in KINDS for p in self._offers(kind, module, plugin))

    def describe(self, name: str) -> list[tuple[str, str, Provider[Any]]]:
        """Return (kind, full name, provider) for everything that one plugin provides; imports its entry module."""
        module = self.activate(name)
        return [
            (kind, provider.name if provider.name == name else f"{name}.{provider.name}", provider)
            for kind in KINDS
            for provider in self._offers(kind, module, name)
        ]

    # ---- events

    def listen(self, listener: object, name: str) -> None:
        """Add an object whose hook implementations are told of events.

        Raises:
            PluginError: it implements an unknown hook, or a wrapper.
        """
        self._register(listener, name)

    def emit(self, hook: str, /, **arguments: Any) -> None:
        """Tell every listener, in order of registration; one that raises is logged, and set aside after five times.

        With `strict` in settings what a listener raises is raised.
        """
        caller = getattr(self._manager.hook, hook)
        for impl in reversed(caller.get_hookimpls()):
            if self._failures.get(impl.plugin_name, 0) >= MAX_FAILURES:
                continue
            try:
                impl.function(*(arguments[name] for name in impl.argnames))
            except Exception as error:
                if self.settings.strict:
                    raise
                self._count_failure(impl.plugin_name, hook, error)

    def _count_failure(self, plugin: str, hook: str, error: Exception) -> None:
        self._failures[plugin] = self._failures.get(plugin, 0) + 1
        aside = "; it is set aside" if self._failures[plugin] == MAX_FAILURES else ""
        log.warning("%s of %s failed: %s: %s%s", hook, plugin, type(error).__name__, error, aside)


def _hook_name(kind: str) -> str:
    plural = {"search": "searches", "storage": "storages"}.get(kind, kind + "s")
    return f"automl_{plural}"


def _discover() -> dict[str, list[Found]]:
    from importlib.metadata import distributions

    found: dict[str, list[Found]] = {}
    seen: set[tuple[str, str]] = set()
    for distribution in distributions():
        for entry in distribution.entry_points:
            # The same distribution can stand on sys.path twice; the first one is the one imported.
            if entry.group != GROUP or (distribution.name, entry.name) in seen:
                continue
            seen.add((distribution.name, entry.name))
            found.setdefault(entry.name, []).append(Found(entry, distribution))
    return found


def _incompatibility(distribution: Distribution) -> str:
    """Compare what a distribution requires of automl-core with the installed core, before importing anything."""
    from automl_core import __version__

    for requirement in distribution.requires or ():
        if re.match(r"automl[-_.]core(?![\w-])", requirement) and ";" not in requirement:
            problem = _violated(requirement, __version__)
            if problem:
                return f"it needs {requirement}, and automl-core is {__version__}"
    return ""


def _violated(requirement: str, version: str) -> bool:
    have = _numbers(version)
    checks = {
        ">=": lambda want: have >= want,
        "<=": lambda want: have <= want,
        "==": lambda want: have[: len(want)] == want,
        "!=": lambda want: have != want,
        "~=": lambda want: have >= want and have[: len(want) - 1] == want[:-1],
        ">": lambda want: have > want,
        "<": lambda want: have < want,
    }
    clauses = re.findall(r"(>=|<=|==|!=|~=|>|<)\s*([0-9][0-9.]*)", requirement)
    return any(not checks[operator](_numbers(number)) for operator, number in clauses)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
