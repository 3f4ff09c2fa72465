"""Predictions that wait for the truth, in a file that all workers of a server share and that outlives them."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from time import monotonic, sleep, time
from typing import Any

from automl_core import ComponentUnavailable, DataError

__all__ = ["Joined", "Labelled", "Ledger", "Prediction"]

BUSY = 2.0  # seconds to wait for another writer
PATIENCE = 60.0  # seconds that a label may be here before its prediction, which another worker may not have written yet
MOST_EARLY = 10_000
TABLES = """
CREATE TABLE IF NOT EXISTS requests (
    number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, model TEXT NOT NULL, version TEXT NOT NULL, time REAL NOT NULL,
    rows INTEGER NOT NULL, inputs TEXT NOT NULL, predictions TEXT NOT NULL, truths TEXT, labelled REAL);
CREATE INDEX IF NOT EXISTS labelled ON requests (model, labelled) WHERE labelled IS NOT NULL;
CREATE TABLE IF NOT EXISTS early (id TEXT PRIMARY KEY, truths TEXT NOT NULL, time REAL NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one request was answered: `inputs` by column, each of as many values as there are predictions."""

    id: str
    model: str
    version: str
    time: float
    inputs: dict[str, list[Any]]
    predictions: list[Any]


@dataclass(frozen=True, slots=True)
class Joined:
    """Predictions of one request whose truth came after `age` seconds; rows without one are left out."""

    model: str
    version: str
    predictions: list[Any]
    truths: list[Any]
    age: float


@dataclass(frozen=True, slots=True)
class Labelled:
    """Rows with their truth, for a fit: `inputs` by column, and per row the version that predicted and the time."""

    inputs: dict[str, list[Any]]
    truths: list[Any]
    versions: list[str]
    times: list[float]


class Ledger:
    """Joins labels with predictions by request id. Thread-safe, and safe between processes; opened where it is used.

    The first prediction and the first truth of an id hold: later ones are counted, as clients try again.

    Args:
        limit: requests that are kept; the oldest go first.

    Raises:
        ComponentUnavailable: the file cannot be read or written, or another writer holds it for too long.
    """

    def __init__(self, path: str | Path, *, limit: int = 1_000_000) -> None:
        self.path, self._limit = Path(path), limit
        self._connection: sqlite3.Connection | None = None
        self._lock = RLock()
        self.unknown = 0

    def record(self, made: Sequence[Prediction]) -> None:
        """Keep predictions."""
        rows = [
            (p.id, p.model, p.version, p.time, len(p.predictions), _dump(p.inputs), _dump(p.predictions)) for p in made
        ]
        with self._writing() as database:
            database.executemany(
                "INSERT OR IGNORE INTO requests (id, model, version, time, rows, inputs, predictions)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            (newest,) = database.execute("SELECT max(number) FROM requests").fetchone()
            database.execute("DELETE FROM requests WHERE number <= ?", ((newest or 0) - self._limit,))

    def label(self, truths: Sequence[tuple[str, Sequence[Any]]]) -> tuple[dict[str, int], list[Joined]]:
        """Take the truth of requests, a value per row and None where it is not known.

        Returns:
            How many requests were "joined", how many labels are "waiting" for their prediction, how many came "twice";
            and what was joined.

        Raises:
            DataError: the number of values differs from the request's rows, or one is of another type; then none of
                the labels is taken.
        """
        counts, joined = Counter(joined=0, waiting=0, twice=0), []
        with self._writing() as database:
            for request, values in truths:
                found = _join(database, request, values)
                if isinstance(found, Joined):
                    joined.append(found)
                    counts["joined"] += 1
                elif found or not self._wait(database, request, values):
                    counts["twice"] += 1
                else:
                    counts["waiting"] += 1
        return dict(counts), joined

    def settle(self) -> list[Joined]:
        """Join labels that were here before their prediction; forget, and count as unknown, those that waited too long."""
        joined = []
        with self._reading() as database:
            (waiting,) = database.execute("SELECT EXISTS (SELECT 1 FROM early)").fetchone()
        if not waiting:
            return []
        with self._writing() as database:
            both = "SELECT id, early.truths FROM early JOIN requests USING (id)"
            for request, values in database.execute(both).fetchall():
                try:
                    found = _join(database, request, json.loads(values))
                except DataError:
                    self.unknown += 1
                else:
                    joined += [found] if isinstance(found, Joined) else []
                database.execute("DELETE FROM early WHERE id = ?", (request,))
            gone = database.execute("DELETE FROM early WHERE abs(? - time) > ?", (time(), PATIENCE))
            self.unknown += gone.rowcount
        return joined

    def labelled(self, model: str, *, since: float = 0.0, limit: int = 1_000_000) -> Labelled:
        """Return the latest rows of a model whose truth is known, in the order of their predictions.

        Args:
            since: seconds since the epoch; earlier predictions are left out.
            limit: of requests.
        """
        with self._reading() as database:
            query = (
                "SELECT version, time, rows, inputs, truths FROM requests WHERE model = ? AND labelled IS NOT NULL"
                " AND time >= ? ORDER BY time DESC, number DESC LIMIT ?"
            )
            found = database.execute(query, (model, since, limit)).fetchall()[::-1]
        names = list(dict.fromkeys(name for row in found for name in json.loads(row[3])))
        rows = Labelled({name: [] for name in names}, [], [], [])
        for version, moment, count, inputs, truths in found:
            columns, values = json.loads(inputs), json.loads(truths)
            known = [place for place in range(count) if values[place] is not None]
            for name, into in rows.inputs.items():
                column = columns.get(name) or [None] * count
                into.extend(column[place] for place in known)
            rows.truths.extend(values[place] for place in known)
            rows.versions.extend([version] * len(known))
            rows.times.extend([moment] * len(known))
        return rows

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    # ---- the file

    def _wait(self, database: sqlite3.Connection, request: str, values: Sequence[Any]) -> bool:
        (waiting,) = database.execute("SELECT count(*) FROM early").fetchone()
        if waiting >= MOST_EARLY:
            raise ComponentUnavailable(f"{waiting} labels wait for predictions that are not known; send fewer of them.")
        added = database.execute("INSERT OR IGNORE INTO early VALUES (?, ?, ?)", (request, _dump(list(values)), time()))
        return added.rowcount == 1

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=BUSY, isolation_level=None, check_same_thread=False)
            try:
                _log_ahead(connection)
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.executescript(TABLES)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock:
                yield self._opened()
        except (sqlite3.Error, OSError) as error:
            raise ComponentUnavailable(f"the ledger of predictions {str(self.path)!r} failed: {error}.") from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")


def _log_ahead(connection: sqlite3.Connection) -> None:
    """Let readers and one writer work beside each other; where workers start at once, SQLite does not wait by itself."""
    until = monotonic() + BUSY
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or monotonic() > until:
                raise
        sleep(0.01)


def _join(database: sqlite3.Connection, request: str, values: Sequence[Any]) -> Joined | bool:
    """Return what was joined; else whether the request is known."""
    query = "SELECT model, version, time, predictions, truths FROM requests WHERE id = ?"
    found = database.execute(query, (request,)).fetchone()
    if found is None or found[4] is not None:
        return found is not None
    model, version, moment, predictions = found[0], found[1], found[2], json.loads(found[3])
    if len(values) != len(predictions):
        raise DataError(
            f"request {request!r} had {len(predictions)} rows, and {len(values)} labels came: send one each."
        )
    truths = [_like(prediction, value) for prediction, value in zip(predictions, values, strict=True)]
    now = time()
    database.execute("UPDATE requests SET truths = ?, labelled = ? WHERE id = ?", (_dump(truths), now, request))
    known = [place for place, value in enumerate(truths) if value is not None]
    return Joined(model, version, [predictions[i] for i in known], [truths[i] for i in known], max(0.0, now - moment))


def _like(prediction: Any, value: Any) -> Any:
    """Return a label in the type of the prediction, as "1" and 1.0 are the class 1 too."""
    if value is None or isinstance(value, type(prediction)) or isinstance(prediction, bool):
        return value
    if isinstance(prediction, str):
        return str(value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise DataError(
            f"the label {value!r} is no number, and the model predicts numbers such as {prediction!r}."
        ) from None
    return int(number) if isinstance(prediction, int) and number.is_integer() else number


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), default=str)
