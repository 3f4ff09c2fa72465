"""When a run may start: cooldown, budget, labels; and the journal that says what was decided."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from automl.retrain.history import History
from automl.retrain.policy import attempts, objection
from automl.retrain.settings import RetrainSettings
from automl_core import Event, Plugins, Settings

HOUR, DAY = 3600.0, 86_400.0
NOW = 100 * DAY


def entry(stage: str, ago: float, *, seconds: float | None = 60.0) -> Event:
    spent = {} if seconds is None else {"seconds": seconds}
    return Event("retraining", NOW - ago, {"stage": stage, "run": "r", **spent})


def decide(*entries: Event, fresh: int = 5000, **settings: Any) -> str | None:
    return objection(entries, RetrainSettings(**settings), now=NOW, fresh=lambda: fresh)


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        pytest.param([], None, id="first run"),
        pytest.param([entry("promoted", 23 * HOUR)], "cooldown", id="within a day"),
        pytest.param([entry("promoted", 25 * HOUR)], None, id="after a day"),
        pytest.param([entry("rejected", 47 * HOUR)], "cooldown", id="two days after a rejection"),
        pytest.param([entry("rejected", 49 * HOUR)], None, id="later than two days"),
        pytest.param([entry("rejected", 6 * DAY), entry("failed", 73 * HOUR)], "cooldown", id="four days after two"),
        pytest.param([entry("rejected", 6 * DAY), entry("promoted", 25 * HOUR)], None, id="a promotion starts anew"),
        pytest.param([entry("rejected", 6 * DAY), entry("proposed", 25 * HOUR)], None, id="so does a proposal"),
        pytest.param([entry("rejected", 15 * DAY + i * DAY) for i in range(3, -1, -1)], "budget", id="four in a month"),
        pytest.param([entry("promoted", 31 * DAY - i) for i in range(9)], None, id="runs of last month"),
        pytest.param([entry("promoted", 3 * DAY, seconds=7200.0)], "budget", id="seconds of the month are spent"),
        pytest.param([entry("promoted", -5 * DAY)], "cooldown", id="clock set back"),
        pytest.param([entry("failed", HOUR, seconds=None)], None, id="a run that never worked"),
        pytest.param([entry("refused", HOUR, seconds=None)], None, id="a refusal is no run"),
    ],
)
def test_policy(entries: list[Event], reason: str | None) -> None:
    found = decide(*entries)
    assert (found or "").partition(":")[0] == (reason or "")


def test_too_few_new_labels_start_nothing() -> None:
    assert decide(fresh=999) == "labels: 999 rows came since the last run, 1000 are needed"


def test_cooldown_does_not_double_for_ever() -> None:
    entries = [entry("rejected", 60 * DAY + i * DAY) for i in range(9)] + [entry("rejected", 14.1 * DAY)]
    assert decide(*entries) is None


def test_score_around_the_threshold_starts_at_most_one_run_in_each_cooldown() -> None:
    settings, entries = RetrainSettings(runs=100), []
    for hour in range(30 * 24):
        now = NOW + hour * HOUR
        if objection(entries, settings, now=now, fresh=lambda: 5000) is None:
            entries.append(Event("retraining", now, {"stage": "rejected", "run": "r", "seconds": 1.0}))
    assert len(entries) == 5  # days 0, 2, 6, 14, 28


def test_attempts_count_from_the_last_promotion() -> None:
    assert attempts([entry("rejected", 3), entry("promoted", 2), entry("rejected", 1), entry("failed", 0)]) == 1


# ---- the journal


@pytest.fixture
def history(tmp_path: Path) -> Any:
    with Plugins(Settings(directory=str(tmp_path))).build("storage", "file") as storage:
        yield History(storage, "loans")


def test_one_run_at_a_time(history: History) -> None:
    with ThreadPoolExecutor(8) as threads:
        runs = list(threads.map(lambda _: history.begin("test", lease=60.0), range(8)))
    (winner,) = [run for run in runs if run is not None]
    assert history.running(lease=60.0) == winner
    history.write("rejected", winner, seconds=1.0)
    assert history.running(lease=60.0) is None


def test_run_that_died_does_not_block_for_ever(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = history.begin("test", lease=60.0)
    assert history.begin("test", lease=60.0) is None
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    assert history.begin("test", lease=60.0) not in (None, dead)


def test_same_refusal_is_written_once(history: History) -> None:
    for reason in ("a", "a", "b", "a"):
        history.refuse(reason, "test")
    assert [e.attributes["reason"] for e in history.entries()] == ["a", "b", "a"]


def test_refusal_of_an_hour_ago_is_written_again(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    history.refuse("a", "test")
    later = time.time() + HOUR + 1
    monkeypatch.setattr(time, "time", lambda: later)
    history.refuse("a", "test")
    assert len(history.entries()) == 2


def test_run_that_comes_second_is_refused_and_not_failed(history: History) -> None:
    first = history.begin("test", lease=60.0)
    assert history.begin("test", lease=60.0) is None
    assert [e.attributes["stage"] for e in history.entries()] == ["started", "started", "refused"]
    assert history.running(lease=60.0) == first


def test_proposal_stands_when_a_later_command_fails_before_its_run(history: History) -> None:
    history.write("proposed", "r", version="2")
    history.write("failed", "", reason="no ledger")
    proposal = history.proposal()
    assert proposal is not None
    assert proposal["version"] == "2"


def test_promotion_is_in_force_until_it_is_rolled_back(history: History) -> None:
    assert history.last_promotion() is None
    history.write("promoted", "r", version="2", previous="1")
    history.write("rejected", "s")
    last = history.last_promotion()
    assert last is not None
    assert (last["version"], last["previous"]) == ("2", "1")
    history.write("rolled_back", "r", version="2", to="1")
    assert history.last_promotion() is None
