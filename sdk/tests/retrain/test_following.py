"""What a server's monitors are told of the journal of retraining."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from automl.retrain.following import Follower, summarise
from automl.retrain.history import ENDS, History
from automl_core import Event, Monitor, Plugins, Settings


class Told(Monitor):
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def until(self, stage: str, count: int) -> dict[str, Any]:
        ends = time.monotonic() + 30
        while time.monotonic() < ends:
            if self.events and self.events[-1].attributes["decisions"][stage] == count:
                return dict(self.events[-1].attributes)
            time.sleep(0.01)
        pytest.fail(f"{count} entries {stage!r} were not told in 30 seconds: {self.events}")


def journal(*stages: str) -> list[Event]:
    """Return entries from a text each, "stage" or "stage run"."""
    told = [(*stage.split(), "")[:2] for stage in stages]
    return [Event("retraining", float(at), {"stage": stage, "run": run}) for at, (stage, run) in enumerate(told)]


@pytest.mark.parametrize(
    ("stages", "in_a_row"),
    [
        pytest.param((), {}, id="nothing was decided"),
        pytest.param(("failed a", "failed b", "failed c"), {"failed": 3}, id="failed again and again"),
        pytest.param(("failed a", "rejected b", "failed c"), {"failed": 1}, id="another end between"),
        pytest.param(("failed a", "refused", "failed b"), {"failed": 2}, id="a refusal is no end"),
        pytest.param(("refused", "started a", "refused", "refused"), {"refused": 2}, id="refused since the last run"),
        pytest.param(("rejected a", "promoted b"), {"promoted": 1}, id="success ends it"),
        pytest.param(("rejected a", "rolled_back b"), {"rolled_back": 1}, id="so does a roll-back"),
        pytest.param(("started a", "started b", "started c"), {"failed": 2}, id="killed before their ends"),
        pytest.param(("started a", "started b", "refused b", "rejected a"), {"rejected": 1}, id="two at once"),
        pytest.param(("failed", "failed"), {"failed": 2}, id="failed before a run began"),
    ],
)
def test_ends_in_a_row(stages: tuple[str, ...], in_a_row: dict[str, int]) -> None:
    assert summarise(journal(*stages))["in_a_row"] == dict.fromkeys((*ENDS, "rolled_back", "refused"), 0) | in_a_row


def test_decisions_are_counted_and_dated_by_stage() -> None:
    told = summarise(journal("started a", "rejected a", "started b", "rejected b"))
    assert told["decisions"] == dict.fromkeys(("proposed", "promoted", "failed", "refused", "rolled_back"), 0) | {
        "started": 2,
        "rejected": 2,
    }
    assert told["last"] == {"started": 2.0, "rejected": 3.0}


def found(champion: float, challenger: float, gain: float) -> dict[str, Any]:
    return {"metric": "accuracy", "champion": champion, "challenger": challenger, "gain": gain, "p": 0.5}


@pytest.mark.parametrize(
    ("evidence", "scores"),
    [
        ({"challengers": {"recent": found(0.8, 0.9, 0.1), "both": found(0.8, 0.85, 0.05)}}, (0.8, 0.9)),
        ({"challengers": {"a": found(0.8, 0.9, 0.1), "b": found(0.8, 0.85, 0.05)}, "learned": "b"}, (0.8, 0.85)),
        ({"comparison": found(0.7, 0.6, -0.1)}, (0.7, 0.6)),
    ],
    ids=["the best challenger", "the one promoted", "one that was tried"],
)
def test_scores_are_those_of_the_last_comparison(evidence: dict[str, Any], scores: tuple[float, float]) -> None:
    entries = [
        Event("retraining", 0.0, {"stage": "rejected", "run": "a", "comparison": found(0.1, 0.1, 0.0)}),
        Event("retraining", 1.0, {"stage": "rejected", "run": "b", **evidence}),
        *journal("refused"),
    ]
    assert summarise(entries)["comparison"] == dict(
        zip(("metric", "champion", "challenger"), ("accuracy", *scores), strict=True)
    )


# ---- in a server


@pytest.fixture
def plugins(tmp_path: Path) -> Plugins:
    return Plugins(Settings(directory=str(tmp_path), plugins={"retrain": {"name": "loans"}}))


@pytest.fixture
def history(plugins: Plugins) -> Iterator[History]:
    with plugins.build("storage", "file") as storage:
        yield History(storage, "loans")


def test_monitors_are_told_of_earlier_decisions_and_of_new_ones(plugins: Plugins, history: History) -> None:
    history.write("promoted", "a", seconds=1.0)
    told = Told()
    follower = Follower.of_settings(plugins, [told], seconds=0.01)
    assert follower is not None
    assert told.until("promoted", 1)["model"] == "loans"
    history.write("failed", "b", seconds=1.0)
    assert told.until("failed", 1)["decisions"]["promoted"] == 1
    history.write("failed", "c", seconds=1.0)
    assert told.until("failed", 2)["in_a_row"]["failed"] == 2
    time.sleep(0.1)
    follower.close()
    assert len(told.events) == 3  # nothing without news


def test_counts_start_at_zero_before_the_first_decision(plugins: Plugins) -> None:
    told = Told()
    follower = Follower(plugins, "loans", [told], seconds=0.01)
    assert set(told.until("failed", 0)["decisions"].values()) == {0}
    follower.close()


def test_journal_that_cannot_be_read_is_asked_again(
    plugins: Plugins, history: History, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    history.write("rejected", "a")
    (path,) = [path for path in tmp_path.rglob("*") if path.is_file() and b"rejected" in path.read_bytes()]
    whole = path.read_bytes()
    path.write_bytes(b"damaged\n" + whole)
    told = Told()
    follower = Follower(plugins, "loans", [told], seconds=0.01)
    ends = time.monotonic() + 30
    while not caplog.records and time.monotonic() < ends:
        time.sleep(0.01)
    time.sleep(0.1)
    assert len([record for record in caplog.records if "cannot be told" in record.message]) == 1
    assert told.events == []
    path.write_bytes(whole)
    told.until("rejected", 1)
    follower.close()


@pytest.mark.parametrize(
    ("name", "monitors", "seconds"), [("", [Told()], 1.0), ("loans", [], 1.0), ("loans", [Told()], 0)]
)
def test_nothing_is_followed_where_nobody_asks(
    tmp_path: Path, name: str, monitors: list[Monitor], seconds: float
) -> None:
    host = Plugins(Settings(directory=str(tmp_path), plugins={"retrain": {"name": name}}))
    assert Follower.of_settings(host, monitors, seconds=seconds) is None
