from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError
from ray import cloudpickle

from automl_core import Choice, ComponentUnavailable, Float, Search, Space, Trial, TrialState
from automl_core.testing import PluginConformance, SearchConformance
from automl_ray.cluster import Cluster
from automl_ray.optimizer import RayTuneOptimizer
from automl_ray.settings import RayTuneSettings

STEPS = 5
# Workers need not find this module.
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]
LINE = {"line": Space({"x": Float(0.0, 1.0)})}


class TestPluginRayTune(PluginConformance):
    plugin = "raytune"


class TestRayTuneOptimizer(SearchConformance):
    model_based = True

    @pytest.fixture
    def search(self, cluster: Cluster) -> Iterator[Search]:
        with RayTuneOptimizer(RayTuneSettings(max_concurrent_trials=1)) as search:
            yield search


class Steps:
    """Evaluates x as its loss; leaves a line in a file for each step."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "steps"

    def __call__(self, trial: Trial) -> Iterator[tuple[str, float]]:
        for step in range(STEPS):
            with self.path.open("a") as file:
                file.write(f"{trial.id}\n")
            yield f"{trial.id} after {step + 1}", float(trial.params["x"] or 0)

    def count(self) -> dict[int, int]:
        return Counter(int(line) for line in self.path.read_text().splitlines())


def drive(evaluate: object, *, trials: int = 8, first: int = 0, **settings: object) -> list[tuple[Trial, object]]:
    """Drive trials; those given first have x = 0, 0.1, ..., so that each is worse than the one before."""
    # One worker: each takes seconds to import Ray Tune.
    search = RayTuneOptimizer(RayTuneSettings(**{"max_concurrent_trials": 1, **settings}))  # type: ignore[arg-type]
    search.begin(LINE, seed=0)
    given = [Trial(number, "line", {"x": number / 10}) for number in range(first)]
    return list(search.drive(evaluate, steps=STEPS, seconds=120, first=given, trials=trials))  # type: ignore[arg-type]


@pytest.mark.parametrize("scheduler", ["asha", "hyperband", "median"])
def test_scheduler_stops_bad_trials_early(cluster: Cluster, tmp_path: Path, scheduler: str) -> None:
    evaluate = Steps(tmp_path)
    driven = drive(evaluate, trials=8, first=8, scheduler=scheduler)
    states = {trial.id: trial.state for trial, _ in driven}
    assert states[0] == TrialState.COMPLETE
    assert states[7] == TrialState.PRUNED
    counts = evaluate.count()
    for trial, state in driven:
        if trial.state == TrialState.COMPLETE:
            assert (counts[trial.id], state) == (STEPS, f"{trial.id} after {STEPS}")
        else:
            assert f"stopped after {counts[trial.id]} of {STEPS}" in str(trial.error)
            assert counts[trial.id] < STEPS
    assert sum(counts.values()) < 0.75 * STEPS * len(driven)


def test_fifo_stops_nothing_and_own_trials_follow_on_the_given_ones(cluster: Cluster, tmp_path: Path) -> None:
    evaluate = Steps(tmp_path)
    driven = drive(evaluate, trials=9, first=2, num_samples=4, scheduler="fifo", search_algorithm="random")
    assert [trial.state for trial, _ in driven] == [TrialState.COMPLETE] * 4
    assert evaluate.count() == dict.fromkeys(range(4), STEPS)
    assert {trial.id: trial.params["x"] for trial, _ in driven if trial.id < 2} == {0: 0.0, 1: 0.1}


def test_what_was_told_before_is_not_tried_again(cluster: Cluster, tmp_path: Path) -> None:
    search = RayTuneOptimizer(RayTuneSettings(scheduler="fifo", max_concurrent_trials=1))
    search.begin({"line": Space({"x": Choice((0.1, 0.2, 0.3))})}, seed=0)
    search.tell(Trial(-1, "line", {"x": 0.2}).with_result(TrialState.COMPLETE, loss=0.2))
    search.tell(Trial(-2, "line", {"x": 0.3}).with_result(TrialState.PRUNED))
    driven = list(search.drive(Steps(tmp_path), steps=STEPS, seconds=60))
    assert [trial.params["x"] for trial, _ in driven] == [0.1]


class DiesOnce(Steps):
    def __call__(self, trial: Trial) -> Iterator[tuple[str, float]]:
        for number, result in enumerate(super().__call__(trial)):
            if number == 2 and trial.id == 0 and not (marker := self.path.with_name("died")).exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield result


class DiesAlways(Steps):
    def __call__(self, trial: Trial) -> Iterator[tuple[str, float]]:
        for result in super().__call__(trial):
            if trial.id == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            yield result


def test_trial_of_a_killed_worker_runs_again(cluster: Cluster, tmp_path: Path) -> None:
    evaluate = DiesOnce(tmp_path)
    driven = drive(evaluate, trials=2, first=2, scheduler="fifo")
    assert (tmp_path / "died").exists()
    assert [trial.state for trial, _ in driven] == [TrialState.COMPLETE] * 2
    assert evaluate.count()[0] == 3 + STEPS


class DiesLate(Steps):
    """Dies when all is sent, before Ray Tune has the last report."""

    def __call__(self, trial: Trial) -> Iterator[tuple[str, float]]:
        from ray import tune

        told, marker = tune.report, self.path.with_name("died")

        def report(metrics: dict[str, float]) -> None:
            if metrics["step"] == STEPS and not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            told(metrics)

        tune.report = report
        return super().__call__(trial)


def test_trial_that_was_sent_home_is_not_evaluated_again(cluster: Cluster, tmp_path: Path) -> None:
    evaluate = DiesLate(tmp_path)
    driven = drive(evaluate, trials=2, first=2, scheduler="fifo")
    assert (tmp_path / "died").exists()
    assert [(trial.id, trial.state, state) for trial, state in driven] == [
        (number, TrialState.COMPLETE, f"{number} after {STEPS}") for number in range(2)
    ]
    assert evaluate.count() == {0: STEPS, 1: STEPS}


def test_trial_that_kills_its_worker_each_time_fails_alone(cluster: Cluster, tmp_path: Path) -> None:
    driven = drive(DiesAlways(tmp_path), trials=2, first=2, scheduler="fifo", max_failures=1)
    states = {trial.id: (trial.state, str(trial.error)) for trial, _ in driven}
    assert states[1][0] == TrialState.COMPLETE
    assert states[0][0] == TrialState.FAILED
    assert states[0][1].startswith("its worker died: ")


def hang(trial: Trial) -> Iterator[tuple[None, float]]:
    time.sleep(600)
    yield None, 0.0


def test_time_limit_holds_while_trials_hang(cluster: Cluster) -> None:
    search = RayTuneOptimizer(RayTuneSettings(max_concurrent_trials=1))
    search.begin(LINE, seed=0)
    started = time.monotonic()
    assert list(search.drive(hang, steps=1, seconds=3)) == []
    assert time.monotonic() - started < 30


def test_trial_that_fits_nowhere_is_told(cluster: Cluster) -> None:
    search = RayTuneOptimizer(RayTuneSettings(num_gpus=1, timeout=0.1))
    search.begin(LINE, seed=0)
    with pytest.raises(ComponentUnavailable, match=r"one trial needs \{'CPU': 1\.0, 'GPU': 0\.5\}"):
        next(search.drive(hang, steps=1, seconds=3))


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9"])
def test_unreachable_head_is_told_with_its_address(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # as in a process that has no connection yet
    search = RayTuneOptimizer(RayTuneSettings(ray_address=address, timeout=1))
    search.begin(LINE, seed=0)
    with pytest.raises(ComponentUnavailable, match=f"no Ray cluster answers at {address} "):
        next(search.drive(hang, steps=1, seconds=3))


@pytest.mark.parametrize(
    ("settings", "trials"), [({}, None), ({"num_cpus": 8, "cpus_per_trial": 2}, 4), ({"max_concurrent_trials": 3}, 3)]
)
def test_trials_at_once_follow_the_settings(settings: dict[str, int], trials: int | None) -> None:
    assert RayTuneSettings(**settings).concurrency == trials  # type: ignore[arg-type]


def test_pbt_is_refused_with_what_to_use_instead() -> None:
    with pytest.raises(ValidationError, match="Use asha, hyperband or median"):
        RayTuneSettings(scheduler="pbt")


def test_doctor_looks_at_the_cluster(cluster: Cluster) -> None:
    (finding,) = RayTuneOptimizer().diagnose()
    assert "2 CPUs of this machine only" in finding.said


class Orphaned(Steps):
    """Runs first on a node that is just lost: its worker still lives, but cannot get at the data."""

    def __call__(self, trial: Trial) -> Iterator[tuple[str, float]]:
        from ray.exceptions import RaySystemError

        if not self.path.exists():
            self.path.touch()
            raise RaySystemError("Broken pipe")  # type: ignore[no-untyped-call]
        yield from super().__call__(trial)


def test_worker_that_outlives_its_node_is_a_loss(cluster: Cluster, tmp_path: Path) -> None:
    driven = drive(Orphaned(tmp_path), trials=2, scheduler="fifo")
    assert [(trial.state, trial.error) for trial, _ in driven] == [(TrialState.COMPLETE, None)] * 2


def test_trial_that_ray_tune_gives_up_at_once_runs_again(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As it does where a worker dies between two trials.
    monkeypatch.setattr("ray.tune.experiment.trial.Trial.should_recover", lambda trial: False)
    driven = drive(Orphaned(tmp_path), trials=2, first=2, scheduler="fifo")
    assert {trial.id: (trial.state, trial.error) for trial, _ in driven} == dict.fromkeys(
        (0, 1), (TrialState.COMPLETE, None)
    )
    assert len(driven) == 2


class Elsewhere:
    """Cannot be unpickled in a worker, as where a machine lacks a package of the driver's."""

    def __reduce__(self) -> tuple[object, ...]:
        return __import__, ("not_installed_there",)


def test_evaluation_that_a_worker_cannot_load_fails_with_the_reason(cluster: Cluster) -> None:
    driven = drive(Elsewhere(), trials=2)
    assert len(driven) == 2
    for trial, _ in driven:
        assert trial.state == TrialState.FAILED
        assert "No module named 'not_installed_there'" in str(trial.error)
