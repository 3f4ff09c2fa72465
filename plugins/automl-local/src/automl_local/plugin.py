"""The embedded defaults: everything that a study on one machine needs, with no service beside it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from automl_core import Cache, Context, Executor, Monitor, Provider, Search, Storage, Tracker, hookimpl

if TYPE_CHECKING:
    from automl_core import PluginSettings


def _file_settings() -> type[PluginSettings]:
    from automl_local.settings import FileSettings

    return FileSettings


def _memory_settings() -> type[PluginSettings]:
    from automl_local.settings import MemorySettings

    return MemorySettings


def _workers_settings() -> type[PluginSettings]:
    from automl_local.settings import WorkersSettings

    return WorkersSettings


def _processes_settings() -> type[PluginSettings]:
    from automl_local.settings import ProcessesSettings

    return ProcessesSettings


def _journal_settings() -> type[PluginSettings]:
    from automl_local.settings import JournalSettings

    return JournalSettings


def _log_settings() -> type[PluginSettings]:
    from automl_local.settings import LogSettings

    return LogSettings


def build_file_storage(context: Context) -> Storage:
    from automl_local.files import FileStorage
    from automl_local.settings import FileSettings

    settings = context.settings(FileSettings)
    return FileStorage(settings.directory or context.directory, fsync=settings.fsync)


def build_memory_storage(context: Context) -> Storage:
    from automl_local.memory import MemoryStorage

    return MemoryStorage()


def build_serial(context: Context) -> Executor:
    from automl_local.serial import SerialExecutor

    return SerialExecutor()


def build_threads(context: Context) -> Executor:
    from automl_local.settings import WorkersSettings
    from automl_local.threads import ThreadsExecutor

    settings = context.settings(WorkersSettings)
    return ThreadsExecutor(context.threads, grace=settings.grace)


def build_processes(context: Context) -> Executor:
    from automl_local.processes import ProcessesExecutor
    from automl_local.settings import ProcessesSettings

    settings = context.settings(ProcessesSettings)
    return ProcessesExecutor(context.threads, grace=settings.grace, directory=settings.directory)


def build_random(context: Context) -> Search:
    from automl_local.random_search import RandomSearch

    return RandomSearch()


def build_journal(context: Context) -> Tracker:
    from automl_local.journal import JournalTracker
    from automl_local.settings import JournalSettings

    settings = context.settings(JournalSettings)
    return JournalTracker(settings.directory or context.directory)


def build_cache(context: Context) -> Cache:
    from automl_local.cache import MemoryCache
    from automl_local.settings import MemorySettings

    return MemoryCache(max_bytes=context.settings(MemorySettings).max_bytes)


def build_log(context: Context) -> Monitor:
    from automl_local.log_monitor import LogMonitor
    from automl_local.settings import LogSettings

    settings = context.settings(LogSettings)
    return LogMonitor(logger=settings.logger, level=settings.level, queue=settings.queue)


@hookimpl
def automl_storages() -> Iterable[Provider[Storage]]:
    yield Provider("file", build_file_storage, "Keep journals and blobs in a folder.", _file_settings)
    yield Provider("memory", build_memory_storage, "Keep journals and blobs until the process ends.")


@hookimpl
def automl_executors() -> Iterable[Provider[Executor]]:
    yield Provider("serial", build_serial, "Run one trial after the other in the calling thread.")
    yield Provider("threads", build_threads, "Run trials in threads of this process.", _workers_settings)
    yield Provider("processes", build_processes, "Run trials in processes of this machine.", _processes_settings)


@hookimpl
def automl_searches() -> Iterable[Provider[Search]]:
    yield Provider("random", build_random, "Draw configurations at random, none of a finite space twice.")


@hookimpl
def automl_trackers() -> Iterable[Provider[Tracker]]:
    yield Provider("journal", build_journal, "Write studies as JSON lines and keep model versions.", _journal_settings)


@hookimpl
def automl_caches() -> Iterable[Provider[Cache]]:
    yield Provider("memory", build_cache, "Keep the values used last, bounded in bytes.", _memory_settings)


@hookimpl
def automl_monitors() -> Iterable[Provider[Monitor]]:
    yield Provider("log", build_log, "Write one log line per event.", _log_settings)
