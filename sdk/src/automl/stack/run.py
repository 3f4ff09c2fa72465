"""Bring a stack up, look at it, take it down."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from threading import Event, current_thread, main_thread

from automl.stack.layout import Layout, ports_of
from automl.stack.needs import CHOICES, USUAL, missing
from automl.stack.parts import Part, links_of, parts_of
from automl.stack.ports import choose_ports
from automl.stack.processes import alive, end, spawn
from automl.stack.secrets import make_secrets
from automl.stack.state import Record, State, hold
from automl_core import did_you_mean
from automl_core.errors import ComponentUnavailable, DataError, SettingsError

__all__ = ["Condition", "Stack", "Wish"]

PATIENCE = 300.0  # seconds; MLflow takes 20 and more on a busy machine
QUIET = 10.0  # seconds after which it is said what is waited for
POLL = 0.1
TAIL = 10  # lines of a log that are shown


@dataclass(frozen=True, slots=True)
class Wish:
    """What `up` is asked for; what is not given stays as it was.

    Attributes:
        added, left_out: names of parts beside the usual ones, and of those not to run.
        directory, trackers: the engine's, from the settings. on_call: URL that alerts are sent to.
    """

    directory: str
    trackers: Sequence[str] = ()
    model: str = ""
    on_call: str = ""
    workers: int | None = None
    added: Collection[str] = ()
    left_out: Collection[str] = ()
    ports: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Condition:
    """A part as it is now: "up", "no answer" or "down"."""

    name: str
    state: str
    address: str
    pid: int | None
    log: str


class Stack:
    """The stack of a folder; `say` is told of progress, a line at a time."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder, self._say = folder.absolute(), say

    def up(self, wish: Wish) -> Layout:
        """Start what is down, and again what is to run with other settings; what this starts ends if it fails.

        Raises:
            ComponentUnavailable: a part that was asked for is not installed, does not start, or a port is taken.
            SettingsError: a name is unknown. DataError: there is no such model.
            KeyboardInterrupt: at SIGINT or SIGTERM.
        """
        with hold(self.folder), _interrupts() as told:
            state = State.read(self.folder)
            make_secrets(self.folder / "secrets")
            self._end(Layout(self.folder, state), _dead(state))
            self._plan(state, wish)
            layout = Layout(self.folder, state)
            parts = parts_of(layout)
            self._end(layout, _stale(state, parts))
            begun: list[str] = []
            try:
                for _, wave in groupby(sorted(parts, key=lambda part: part.wave), key=lambda part: part.wave):
                    self._start(layout, list(wave), begun, told)
                self._await(links_of(layout), layout, told)
            except BaseException:
                self._end(layout, begun)
                raise
            return layout

    def status(self) -> list[Condition]:
        """Return the condition of each part that the stack is made of."""
        layout = self.layout()
        return [self._look(layout, part) for part in parts_of(layout)]

    def layout(self) -> Layout:
        """Return how the stack was laid out last.

        Raises:
            DataError: there is none in this folder.
        """
        state = State.read(self.folder)
        if not state.names:
            raise DataError(f"there is no stack in {self.folder}: automl stack up.")
        return Layout(self.folder, state)

    def down(self) -> None:
        """End what runs; data, secrets, logs and ports stay."""
        with hold(self.folder):
            layout = Layout(self.folder, State.read(self.folder))
            self._end(layout, list(layout.state.parts))

    # ---- what there is to be

    def _plan(self, state: State, wish: Wish) -> None:
        _check_names("--with", wish.added, CHOICES)
        _check_names("--without", wish.left_out, CHOICES)
        _check_names("--port", wish.ports, [port for name in CHOICES for port in ports_of(name)])
        state.model = _place(wish.model) if wish.model else state.model
        state.on_call = wish.on_call or state.on_call
        state.workers = wish.workers or state.workers
        state.directory = wish.directory
        state.trackers = [name for name in wish.trackers if name != "mlflow"]
        again = {*wish.added, *(["server"] if wish.model else []), *(["alertmanager"] if wish.on_call else [])}
        state.left_out = sorted((set(state.left_out) - again) | set(wish.left_out))
        wanted = [name for name in CHOICES if name in {*state.names, *USUAL, *wish.added} - set(state.left_out)]
        wanted = [name for name in wanted if self._can(name, state, wish)]
        if not wanted:
            raise ComponentUnavailable("nothing is left of the stack: install a part, or leave fewer out.")
        state.names = [*wanted, *(["dask-workers"] if "dask" in wanted else [])]
        ports = [port for name in state.names for port in ports_of(name)]
        used = [port for name in state.parts for port in ports_of(name)]
        state.ports |= choose_ports(ports, given=wish.ports, before=state.ports, used=used)

    def _can(self, name: str, state: State, wish: Wish) -> bool:
        lack = missing(name)
        if lack and (name in wish.added or (name == "alertmanager" and wish.on_call)):
            raise ComponentUnavailable(f"{lack}.")
        if not lack and name == "server" and not state.model:
            lack = "no model is named: automl stack up MODEL, a file or models:/NAME@champion"
        if not lack and name == "alertmanager" and not state.on_call:
            lack = "nobody is named whom it could tell: automl stack up --on-call URL"
        if lack:
            self._say(f"{name:<14}left out  {lack}")
        return not lack

    # ---- processes

    def _start(self, layout: Layout, wave: list[Part], begun: list[str], told: Event) -> None:
        """Start those of a wave that are down, and wait until all of it answers."""
        state = layout.state
        for part in wave:
            if told.is_set():
                raise KeyboardInterrupt
            if part.name in state.parts:
                continue
            for path, text in part.files.items():
                path.touch(0o600)
                path.write_text(text, encoding="utf-8")
            process = spawn(
                part.command, environment=part.environment, log=layout.log(part.name), mark=layout.mark(part.name)
            )
            begun.append(part.name)
            state.parts[part.name] = Record(process.pid, process.started, part.made_of)
            state.write(self.folder)
        state.write(self.folder)
        self._await({part.name: part.ready for part in wave}, layout, told, new=begun)

    def _await(
        self, waiting: Mapping[str, Callable[[], bool]], layout: Layout, told: Event, new: Iterable[str] = ()
    ) -> None:
        began, silent, left = time.monotonic(), QUIET, dict(waiting)
        while left:
            for name in [name for name, ready in left.items() if ready()]:
                del left[name]
                if name in layout.state.names:
                    took = f"after {time.monotonic() - began:.1f} s" if name in new else "runs already"
                    self._say(f"{name:<14}ready     {layout.address(name)}  {took}")
            waited = time.monotonic() - began
            for name in left:
                record = layout.state.parts.get(name)
                if record is not None and not alive(record.process):
                    raise ComponentUnavailable(f"{name} ended while it started. {_tail(layout.log(name))}")
                if waited > PATIENCE:
                    raise ComponentUnavailable(f"{name} is not ready after {PATIENCE:.0f} s. {_tail(layout.log(name))}")
            if left and waited > silent:
                self._say(f"{'':<14}waiting   for {', '.join(left)}: {waited:.0f} s")
                silent += QUIET
            if left and told.wait(POLL):
                raise KeyboardInterrupt

    def _end(self, layout: Layout, names: Collection[str]) -> None:
        """End parts, those that others need last, and forget them."""
        state = layout.state
        clients = [name for name in names if name in ("server", "prometheus", "dask-workers")]
        for some in (clients, [name for name in names if name not in clients]):
            with ThreadPoolExecutor(max_workers=8) as pool:
                jobs = {name: pool.submit(end, state.parts[name].process, layout.mark(name)) for name in some}
            for name, job in jobs.items():
                job.result()
                del state.parts[name]
                self._say(f"{name:<14}ended")
            if some:
                state.write(self.folder)

    def _look(self, layout: Layout, part: Part) -> Condition:
        record = layout.state.parts.get(part.name)
        running = record is not None and alive(record.process)
        state = "down" if not running else "up" if part.ready() else "no answer"
        pid = record.pid if record is not None and running else None
        return Condition(part.name, state, layout.address(part.name), pid, str(layout.log(part.name)))


def _dead(state: State) -> set[str]:
    """Return the parts that ended by themselves: what such a one left behind may still hold its port."""
    dead = {name for name, record in state.parts.items() if not alive(record.process)}
    # Workers that lost their scheduler end seconds later, and do not go over to a new one.
    return dead | ({"dask-workers"} & {*state.parts} if "dask" in dead else set())


def _stale(state: State, parts: Iterable[Part]) -> list[str]:
    """Return the parts that run and are not wanted, or not with these settings."""
    wanted = {part.name: part.made_of for part in parts}
    return [name for name, record in state.parts.items() if wanted.get(name) != record.made_of]


def _place(model: str) -> str:
    """Return where a model is, whatever folder it is looked for from.

    Raises:
        DataError: there is no such file.
    """
    if "://" in model or model.startswith("models:"):
        return model
    if not Path(model).is_file():
        raise DataError(f"there is no model {model!r}: give a file, a URI, or models:/NAME@champion.")
    return str(Path(model).absolute())


def _check_names(option: str, given: Iterable[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise SettingsError(f"{option} {name}: there are {', '.join(known)}.{did_you_mean(name, known)}")


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:] if log.is_file() else []
    return "\n".join([f"The end of {log}:", *lines])


@contextmanager
def _interrupts() -> Iterator[Event]:
    """Within, SIGINT and SIGTERM set the flag, so that a process is never started and not yet known."""
    told = Event()
    if current_thread() is not main_thread():
        yield told
        return
    before = {number: signal.signal(number, lambda *_: told.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
