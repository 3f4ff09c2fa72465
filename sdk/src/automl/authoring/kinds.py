"""What differs between new plugins of the eight kinds."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EXAMPLES", "Example"]


@dataclass(frozen=True, slots=True)
class Example:
    """The component of a kind in `template`, and how it is built, tested and used.

    Attributes:
        component: its class. call: the expression that builds it from `context` and `settings`. summary: one sentence.
        fixtures: the body of the test class. imports: what these need of the standard library.
        use: a line for a shell that has the engine use it. settings: its settings, where it has some.
        requires: distributions beside automl-core.
    """

    component: str
    call: str
    summary: str
    fixtures: str
    use: str
    imports: str = ""
    settings: str = ""
    requires: tuple[str, ...] = ()


CACHE = """
    @pytest.fixture
    def cache(self) -> Cache:
        return DictCache()
"""

EXECUTOR = """
    pickles_closures = True

    @pytest.fixture
    def executor(self) -> Iterator[Executor]:
        with PoolExecutor(3) as executor:
            yield executor
"""

LEARNER = """
    @pytest.fixture
    def learner(self) -> Learner:
        return Linear()
"""

MONITOR = """
    @pytest.fixture
    def monitor(self, tmp_path: Path) -> Iterator[Monitor]:
        with FileMonitor(tmp_path / "events.jsonl") as monitor:
            yield monitor

    @pytest.fixture
    def received(self, tmp_path: Path) -> Callable[[], Sequence[Event]]:
        def read() -> Sequence[Event]:
            records = map(decode, (tmp_path / "events.jsonl").read_bytes().splitlines())
            return [record for record in records if isinstance(record, Event)]

        return read
"""

SEARCH = """
    @pytest.fixture
    def search(self) -> Search:
        return RandomSearch()
"""

SERVER = """
    @pytest.fixture
    def address(self) -> tuple[str, int]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return "127.0.0.1", probe.getsockname()[1]

    @pytest.fixture
    def server(self, address: tuple[str, int]) -> Iterator[Server]:
        with JsonServer(host=address[0], port=address[1]) as server:
            yield server

    @pytest.fixture
    def service(self) -> object:
        return object()  # no check asks it; tests of answers take an `automl.service.PredictionService`
"""

STORAGE = """
    crosses_processes = True

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return SqliteStorage(tmp_path / "kept.sqlite")

    @pytest.fixture
    def another(self, tmp_path: Path) -> Callable[[], Storage]:
        return lambda: SqliteStorage(tmp_path / "kept.sqlite")
"""

TRACKER = """
    @pytest.fixture
    def tracker(self, tmp_path: Path) -> Tracker:
        return FileTracker(tmp_path / "studies")

    @pytest.fixture
    def recorded(self, tmp_path: Path) -> Callable[[], Sequence[Trial]]:
        def read() -> Sequence[Trial]:
            (file,) = (tmp_path / "studies").iterdir()
            records = map(decode, file.read_bytes().splitlines())
            return list({record.id: record for record in records if isinstance(record, Trial)}.values())

        return read
"""

FIT = "automl fit data.csv --target y"
SERVE = "automl serve model.automl"
ITERATOR = "from collections.abc import Iterator\n"
READS = "from collections.abc import Callable, Sequence\nfrom pathlib import Path\n"

EXAMPLES = {
    "cache": Example(
        "DictCache",
        "DictCache(entries=settings.entries)",
        "Keep values in a dictionary, for as long as they are told to last.",
        CACHE,
        f"AUTOML_CACHE={{name}} {SERVE}",
        settings="DictCacheSettings",
    ),
    "executor": Example(
        "PoolExecutor",
        "PoolExecutor(context.threads)",
        "Run trials in a pool of threads.",
        EXECUTOR,
        f"{FIT} --executor {{name}}",
        ITERATOR,
    ),
    "learner": Example(
        "Linear",
        "Linear()",
        "Fit linear models in closed form.",
        LEARNER,
        f"{FIT} --learners {{name}},lightgbm",
        requires=("numpy>=1.26,<3",),
    ),
    "monitor": Example(
        "FileMonitor",
        'FileMonitor(Path(context.directory) / "{name}.jsonl")',
        "Write events to a file of JSON lines.",
        MONITOR,
        f"AUTOML_MONITORS={{name}} {SERVE}",
        READS.replace("Callable,", "Callable, Iterator,"),
    ),
    "search": Example(
        "RandomSearch",
        "RandomSearch()",
        "Draw configurations at random.",
        SEARCH,
        f"AUTOML_SEARCH={{name}} {FIT}",
    ),
    "server": Example(
        "JsonServer",
        "JsonServer(host=settings.host, port=settings.port)",
        "Answer rows of JSON over HTTP.",
        SERVER,
        f"AUTOML_SERVER={{name}} {SERVE}",
        f"import socket\n{ITERATOR}",
        settings="JsonServerSettings",
    ),
    "storage": Example(
        "SqliteStorage",
        'SqliteStorage(Path(context.directory) / "{name}.sqlite")',
        "Keep journals and blobs in a file of SQLite.",
        STORAGE,
        f"{FIT} --storage {{name}}",
        READS.replace("Callable, Sequence", "Callable"),
    ),
    "tracker": Example(
        "FileTracker",
        'FileTracker(Path(context.directory) / "{name}")',
        "Write studies to files of JSON lines.",
        TRACKER,
        f"AUTOML_TRACKERS={{name}} {FIT}",
        READS,
    ),
}
