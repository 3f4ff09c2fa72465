"""The plugin host: select, activate, build, roll back, describe, tell of events."""

from __future__ import annotations

import importlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pluggy

from automl_core import hookspecs
from automl_core.discovery import FIRST_PARTY, GROUP, Found, Installed, discover, not_installed, problem
from automl_core.errors import AutoMLError, PluginError, did_you_mean
from automl_core.kinds import KINDS, Component
from automl_core.providers import Context, Provider
from automl_core.remote.schemes import plugin_of, scheme_of

if TYPE_CHECKING:
    from automl_core.settings import PluginSettings, Settings

__all__ = ["FIRST_PARTY", "GROUP", "MAX_FAILURES", "PluginInfo", "Plugins", "hook_name"]

MAX_FAILURES = 5
log = logging.getLogger("automl.plugins")

# The settings that name plugins, in the order in which plugins are told of events.
_WORDS = ("storage", "executor", "search", "learners", "trackers", "cache", "server", "monitors", "listeners")


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


class Plugins:
    """All plugins of one process, for one set of settings. There is no global one.

    Nothing is imported until a component is built; what is not selected can hurt nobody.
    """

    def __init__(self, settings: Settings, *, threads: int = 1) -> None:
        self.settings = settings
        self.threads = threads
        self._found: Installed | None = None
        # One pluggy manager each: blame, roll-back and order then need no care. Plugins go by their module.
        self._active: dict[str, pluggy.PluginManager] = {}
        self._listeners: dict[str, pluggy.PluginManager] = {}
        self._broken: dict[str, str] = {}
        self._failures: Counter[str] = Counter()
        self._listening = False
        self._heard: tuple[int, list[tuple[str, pluggy.PluginManager]]] = 0, []

    # ---- discover

    @property
    def found(self) -> Installed:
        """Entry points by name; reads metadata, imports nothing."""
        if self._found is None:
            self._found = discover()
            for name in sorted(set(self.settings.plugins) - set(self._found)):
                log.warning("settings for a plugin that is not there: %s", not_installed(name, self._found))
        return self._found

    def installed(self, name: str) -> bool:
        """Whether the plugin of a word ("ray", "ray.actors", "s3://bucket") is installed; says nothing about its health."""
        return plugin_of(name) in self.found

    def infos(self) -> list[PluginInfo]:
        """Describe every installed plugin, sorted by name."""
        return [self._info(name, item) for name in sorted(self.found) for item in self.found[name]]

    def _info(self, name: str, item: Found) -> PluginInfo:
        status, reason = problem(name, self.found, self.settings.plugins_disabled)
        if not status and name in self._broken:
            status, reason = "broken", self._broken[name]
        if not status:
            status = "active" if item.entry.module in self._active else "available"
        return PluginInfo(name, item.name, item.version, status, reason)

    # ---- activate

    def activate(self, name: str) -> object:
        """Import a plugin's entry module and register it.

        Raises:
            PluginError: the plugin is not installed, ambiguous, disabled, incompatible, or fails to load.
        """
        item = self._select(name)
        try:
            module = importlib.import_module(item.entry.module)
            if item.entry.module not in self._active:
                self._active[item.entry.module] = self._manage(module, name)
        except (Exception, SystemExit) as error:  # a module may even call sys.exit
            self._broken[name] = f"{type(error).__name__}: {error}"
            raise PluginError(f"{item.label} failed to load: {self._broken[name]}") from error
        self._broken.pop(name, None)
        return module

    def _select(self, name: str) -> Found:
        if name not in self.found:
            raise PluginError(not_installed(name, self.found))
        status, reason = problem(name, self.found, self.settings.plugins_disabled)
        if status == "conflict":
            raise PluginError(f"plugin {name!r} is ambiguous: {reason}.")
        if status:
            raise PluginError(f"{self.found[name][0].label} is {status}: {reason}.")
        return self.found[name][0]

    def _manage(self, plugin: object, name: str) -> pluggy.PluginManager:
        """Return a manager of this one plugin, whose hooks are all known and none a wrapper."""
        manager = pluggy.PluginManager(GROUP)
        manager.add_hookspecs(hookspecs)
        manager.register(plugin, name)
        manager.check_pending()
        for caller in manager.get_hookcallers(plugin) or ():
            if any(impl.wrapper or impl.hookwrapper for impl in caller.get_hookimpls()):
                raise PluginError(f"{caller.name} is a wrapper; hooks of this engine take none")
        if self.settings.trace:
            manager.add_hookcall_monitoring(*_tracers())
        return manager

    # ---- build

    def providers(self, kind: str, name: str) -> list[tuple[str, Provider[Any]]]:
        """Return (full name, provider) for a word in settings: one of a plugin's providers, or all of them.

        "sklearn" stands for the provider of that name where there is one, else for all that the plugin has of this
        kind, named "sklearn.linear" and so on, but those on request; "sklearn.linear" stands for that one. A URI stands
        for the plugin of its scheme.

        Raises:
            PluginError: see `activate`; or the plugin provides no such thing.
        """
        plugin = plugin_of(name)
        wanted = "" if scheme_of(name) else name.partition(".")[2]
        self.activate(plugin)
        offered = {provider.name: provider for provider in self._offers(kind, plugin)}
        if not wanted and plugin in offered:
            return [(plugin, offered[plugin])]
        usual = [(f"{plugin}.{key}", provider) for key, provider in offered.items() if not provider.on_request]
        if not wanted and usual:
            return usual
        if wanted in offered:
            return [(name, offered[wanted])]
        what = f"{kind} named {wanted!r}" if wanted else kind
        every = [f"{other} {provider.name!r}" for other in KINDS for provider in self._offers(other, plugin)]
        listed = ", ".join(sorted(offered) or sorted(every)) or "nothing"
        raise PluginError(
            f"plugin {plugin!r} provides no {what}; it provides: {listed}.{did_you_mean(wanted, offered)}"
        )

    def build(self, kind: str, name: str) -> Any:
        """Build the one component of `kind` that a word in settings names; a URI goes to its plugin as the setting `url`.

        Raises:
            PluginError: see `providers`; or the plugin has several and the word picks none; or building it failed.
            SettingsError: the plugin's block is wrong.
            ComponentUnavailable: its backing service does not answer.
        """
        found = self.providers(kind, name)
        if len(found) > 1:
            names = ", ".join(full for full, _ in found)
            raise PluginError(f"plugin {name!r} provides several {kind} components; name one of: {names}.")
        return self._build(kind, *found[0], {"url": name} if scheme_of(name) else {})

    def build_all(self, kind: str, names: Sequence[str]) -> dict[str, Any]:
        """Build every component that the words name, by full name, in order; each name once.

        Where one cannot be built, those before it are closed again.
        """
        built: dict[str, Any] = {}
        with ExitStack() as undo:
            for full, provider in [pair for name in names for pair in self.providers(kind, name)]:
                if full not in built:
                    built[full] = self._build(kind, full, provider)
                    undo.callback(built[full].close)
            undo.pop_all()
        return built

    def _build(self, kind: str, full: str, provider: Provider[Any], changes: Mapping[str, Any] = {}) -> Component:
        plugin = full.partition(".")[0]
        block = {**self.settings.plugins.get(plugin, {}), **changes}
        context = Context(plugin, block, threads=self.threads, directory=self.settings.directory)
        try:
            component = provider.build(context)
        except AutoMLError:
            raise
        except (Exception, SystemExit) as error:
            label = self._select(plugin).label
            raise PluginError(f"{label} failed to build {full!r}: {type(error).__name__}: {error}") from error
        if not isinstance(component, KINDS[kind]):
            label, what = self._select(plugin).label, type(component).__name__
            raise PluginError(f"{label} built a {what} for {full!r}, which is no {KINDS[kind].__name__}.")
        return component

    def _offers(self, kind: str, plugin: str) -> Iterator[Provider[Any]]:
        """Yield what an active plugin provides; a module behind several entry points shows each its own."""
        item = self._select(plugin)
        siblings = {name for name, items in self.found.items() if items[0].entry.module == item.entry.module}
        for provider in self._ask(item, hook_name(kind)):
            if provider.name == plugin or provider.name not in siblings:
                yield provider

    def _ask(self, item: Found, hook: str) -> list[Provider[Any]]:
        try:
            answers = getattr(self._active[item.entry.module].hook, hook)()
            offered = [provider for answer in answers for provider in answer]
        except (Exception, SystemExit) as error:
            raise PluginError(f"{item.label} failed in {hook}: {type(error).__name__}: {error}") from error
        names: set[str] = set()
        for provider in offered:
            if not isinstance(provider, Provider):
                raise PluginError(f"{item.label} gives a {type(provider).__name__} from {hook}, which is no Provider.")
            if provider.name in names:
                raise PluginError(f"{item.label} gives two providers named {provider.name!r} from {hook}.")
            names.add(provider.name)
        return offered

    def describe(self, name: str) -> list[tuple[str, str, Provider[Any]]]:
        """Return (kind, full name, provider) for everything that one plugin provides; imports its entry module."""
        self.activate(name)
        return [
            (kind, provider.name if provider.name == name else f"{name}.{provider.name}", provider)
            for kind in KINDS
            for provider in self._offers(kind, name)
        ]

    # ---- events

    def listen(self, listener: object, name: str) -> None:
        """Add an object whose hook implementations are told of events, after the plugins of the settings.

        Raises:
            PluginError: it implements an unknown hook, or a wrapper, or the name is taken.
        """
        if name in self._listeners:
            raise PluginError(f"there is a listener named {name!r} already; give this one another name.")
        try:
            self._listeners[name] = self._manage(listener, name)
        except Exception as error:
            raise PluginError(f"listener {name!r} cannot be added: {error}") from error

    def ready(self) -> None:
        """Activate the plugins of the setting `listeners` and look at their blocks; `emit` does so where nobody did.

        Raises:
            PluginError: one cannot be activated. SettingsError: its block is wrong.
        """
        for name in () if self._listening else self.settings.listeners:
            for model in self.listener_settings(name):
                from automl_core.settings import validate_block

                validate_block(name, model, self.settings.plugins.get(name, {}))
        self._listening = True

    def listener_settings(self, name: str) -> list[type[PluginSettings]]:
        """Return the settings of a plugin that only listens, one or none; imports its entry module."""
        self.activate(name)
        found: list[type[PluginSettings]] = self._active[self._select(name).entry.module].hook.automl_settings()
        return found

    def emit(self, hook: str, /, **arguments: Any) -> None:
        """Tell the active plugins that settings name, in the order of settings, and then all listeners.

        One that raises is logged, and set aside after five times; with `strict` in settings it is raised instead.

        Raises:
            AutoMLError: see `ready`; at the first event only.
        """
        self.ready()
        for name, manager in [*self._audience(), *self._listeners.items()]:
            if self._failures[name] >= MAX_FAILURES:
                continue
            caller = getattr(manager.hook, hook)
            try:
                caller(**arguments)
            except Exception as error:
                if self.settings.strict:
                    raise
                self._failures[name] += 1
                aside = "; it is set aside" if self._failures[name] == MAX_FAILURES else ""
                log.warning("%s of %s failed: %s: %s%s", hook, name, type(error).__name__, error, aside)

    def _audience(self) -> list[tuple[str, pluggy.PluginManager]]:
        """Return active plugins that settings name, in that order, each once however many names it goes by."""
        active, heard = self._heard
        if active == len(self._active):  # plugins come, and none goes
            return heard
        words = [word for field in _WORDS for word in _as_tuple(getattr(self.settings, field))]
        names: dict[str, str] = {}
        for name in map(plugin_of, words):
            for item in self.found.get(name, ()):
                names.setdefault(item.entry.module, name)
        heard = [(name, self._active[module]) for module, name in names.items() if module in self._active]
        self._heard = len(self._active), heard
        return heard


def hook_name(kind: str) -> str:
    """Return the name of the hook that provides components of a kind: "search" gives "automl_searches"."""
    return f"automl_{kind}es" if kind == "search" else f"automl_{kind}s"


def _as_tuple(words: str | tuple[str, ...]) -> tuple[str, ...]:
    return (words,) if isinstance(words, str) else words


def _tracers() -> tuple[Callable[..., None], Callable[..., None]]:
    """Return what pluggy calls before and after each hook call: a line on stderr with its duration."""
    import sys
    from time import perf_counter

    started: list[float] = []

    def before(*_: object) -> None:
        started.append(perf_counter())

    def after(outcome: pluggy.Result[Any], hook: str, impls: Sequence[pluggy.HookImpl], _: object) -> None:
        milliseconds = 1000 * (perf_counter() - started.pop())
        ended = f"{type(outcome.exception).__name__}: {outcome.exception}" if outcome.exception else "done"
        names = ", ".join(impl.plugin_name for impl in impls) or "no plugin"
        print(f"automl trace: {hook} of {names}: {ended} after {milliseconds:.3f} ms", file=sys.stderr)

    return before, after
