"""A search that Ray Tune drives: trials on a cluster, the bad ones stopped after a few folds."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from tempfile import TemporaryDirectory, gettempdir
from threading import Thread
from typing import TYPE_CHECKING, Any

from automl_core import AutoMLError, ComponentUnavailable, Search, Space, Trial, TrialState
from automl_core.diagnosis import FAILED, Finding
from automl_ray.cluster import Cluster
from automl_ray.proposals import Proposals
from automl_ray.settings import RayTuneSettings

if TYPE_CHECKING:
    from automl_core import Evaluate

__all__ = ["RayTuneOptimizer"]

log = logging.getLogger("automl.ray")
POLL = 0.5  # seconds that a look for what ended waits for it
LOST = 120.0  # seconds without an answer after which the cluster counts as lost
GRACE = 0.5  # seconds that Ray Tune gets to wind up when the time is over
ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # files of every trial, in three formats
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # its state is not what a study goes on from
    "TUNE_WARN_THRESHOLD_S": "10",
    "RAY_AIR_NEW_OUTPUT": "0",  # the new one prints a table whatever its verbosity
}


class RayTuneOptimizer(Search):
    """Runs a study's trials on Ray Tune; hand it to `AutoMLEngine(optimizer=...)`.

    Each trial fits its folds one after the other and reports the mean loss after each, by which the scheduler stops it
    early. What a whole trial fitted comes back into the study, so that ensemble and leaderboard take it like any other.

    Args:
        settings: cluster, number of trials, scheduler, search algorithm; None takes the defaults.
        cpus: of a Ray that is started here, where the settings name no number.
    """

    def __init__(self, settings: RayTuneSettings | None = None, *, cpus: int | None = None) -> None:
        self.settings = settings or RayTuneSettings()
        self._cpus = cpus
        self.begin({}, seed=0)

    def begin(self, spaces: Mapping[str, Space], *, seed: int) -> None:
        self._proposals = Proposals(spaces, algorithm=self.settings.search_algorithm, seed=seed)

    def ask(self, count: int = 1, *, learner: str | None = None) -> Sequence[Trial]:
        """See `Search.ask`; the same proposals as those of `drive`."""
        return [] if self._proposals.empty else [self._proposals.ask(learner) for _ in range(count)]

    def tell(self, trial: Trial) -> None:
        self._proposals.tell(trial)

    @property
    def exhausted(self) -> bool:
        return self._proposals.empty

    def drive(
        self,
        evaluate: Evaluate,
        *,
        steps: int,
        seconds: float | None,
        first: Sequence[Trial] = (),
        trials: int | None = None,
    ) -> Iterator[tuple[Trial, Any]]:
        """See `automl_core.Drives`.

        Raises:
            ComponentUnavailable: the cluster does not answer, has no room for a trial, or is lost.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        left = self.settings.num_samples - self._proposals.known
        trials = left if trials is None else min(left, trials)
        if trials < 1:
            return
        with self._connect() as cluster:
            need, waiting = self._need(cluster), list(first)[:trials]
            for _ in range(self.settings.max_failures + 1):
                with ExitStack() as stack:
                    cluster.wait_for_room(need)
                    run = _Run(cluster, deadline, stack)
                    run.prepare(self.settings, self._proposals, evaluate, steps, waiting, trials, need)
                    stack.callback(run.stop)
                    yield from run.results()
                waiting, trials = run.lost, len(run.lost)
                if not waiting or (deadline is not None and time.monotonic() > deadline):
                    return
            for trial in waiting:
                yield trial.with_result(TrialState.FAILED), None

    def diagnose(self) -> Iterator[Finding]:
        """See `Diagnoses`."""
        try:
            cluster = self._connect()
        except ComponentUnavailable as error:
            yield Finding("Ray cluster", FAILED, str(error), "deploy/README.md#ray")
            return
        with cluster:
            yield from cluster.diagnose(self._need(cluster))

    def _connect(self) -> Cluster:
        given = self.settings
        remote = (given.ray_address or "").startswith("ray://")
        if not remote:
            for name, value in ENVIRONMENT.items():
                os.environ.setdefault(name, value)
        return Cluster(
            given.ray_address,
            cpus=given.num_cpus if given.num_cpus > 0 else self._cpus,
            runtime_env={"env_vars": ENVIRONMENT} if remote else None,
            timeout=given.timeout,
        )

    def _need(self, cluster: Cluster) -> dict[str, float]:
        """Return what each trial reserves; GPUs are shared by the trials that run at once."""
        given, have = self.settings, cluster.resources()
        gpus = have.get("GPU", 0.0) if given.num_gpus < 0 else float(given.num_gpus)
        fit = max(1, int(have.get("CPU", 1.0) / given.cpus_per_trial))
        return {"CPU": given.cpus_per_trial, "GPU": gpus / min(fit, given.concurrency or fit)}


class _Run:
    """One run of Ray Tune, in a thread of its own; what ends is collected in a box.

    Attributes:
        lost: trials whose worker died before they had begun, on which Ray Tune gives up at once.
    """

    def __init__(self, cluster: Cluster, deadline: float | None, stack: ExitStack) -> None:
        self.cluster, self.deadline, self.stack = cluster, deadline, stack
        self.error: BaseException | None = None
        self.lost: list[Trial] = []
        self.box: Any = None
        self._asked: Any = None
        self._heard = 0.0
        self.thread = Thread(target=self._fit, name="automl-raytune", daemon=True)

    def prepare(
        self,
        given: RayTuneSettings,
        proposals: Proposals,
        evaluate: Evaluate,
        steps: int,
        first: Sequence[Trial],
        trials: int,
        need: Mapping[str, float],
    ) -> None:
        """Put what workers need into the object store, and set up Ray Tune."""
        from ray import tune
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        from automl_ray import tuning
        from automl_ray.box import Box
        from automl_ray.tasks import RayShared

        ray = self.cluster.ray
        # With this driver, or the head it speaks to, rather than on a machine that may be taken away: where it is only
        # wished for, Ray places an actor that needs no CPU anywhere.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.box = ray.remote(num_cpus=0)(Box).options(scheduling_strategy=here).remote()
        shared = RayShared(evaluate, self.cluster.put(evaluate))
        trainable = tuning.make_trainable(shared, self.box, steps)
        self.tuner = tune.Tuner(
            tune.with_resources(trainable, {"cpu": need["CPU"], "gpu": need["GPU"]}),
            tune_config=tune.TuneConfig(
                search_alg=tuning.Suggestions(proposals, first),
                scheduler=tuning.make_scheduler(given.scheduler, steps),
                num_samples=trials,
                max_concurrent_trials=given.concurrency,
                time_budget_s=None if self.deadline is None else max(self.deadline - time.monotonic(), 0.1),
                reuse_actors=True,  # a new one costs seconds
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                storage_path=given.storage_path or self._folder(),
                failure_config=tune.FailureConfig(max_failures=given.max_failures),
                callbacks=[tuning.Reports(self.box, steps, given.max_failures)],
                stop=tuning.Stop(self.box),
                verbose=0,
            ),
        )

    def _folder(self) -> str:
        """Return a folder that goes with the run; on the head of a cluster, one among its temporary files."""
        if (self.cluster.address or "").startswith("ray://"):
            return f"{gettempdir()}/automl-raytune"
        return self.stack.enter_context(TemporaryDirectory(prefix="automl-raytune-", ignore_cleanup_errors=True))

    def _fit(self) -> None:
        try:
            self.tuner.fit()
        except BaseException as error:  # noqa: BLE001 - raised in the study's thread
            self.error = error

    def results(self) -> Iterator[tuple[Trial, Any]]:
        """Yield what ended, until Ray Tune is done or the time is up."""
        self.thread.start()
        self._heard = time.monotonic()
        yielded: set[int] = set()
        for trial, state in self._arrivals():
            if trial.id in yielded:  # a worker may die after it sent its result, and the trial run again
                continue
            if trial.state == TrialState.RUNNING:
                self.lost.append(trial)
            else:
                yielded.add(trial.id)
                yield trial, state
        if self.error is not None:
            raise AutoMLError(f"Ray Tune ended with an error: {self.error}") from self.error

    def _arrivals(self) -> Iterator[tuple[Trial, Any]]:
        while self.thread.is_alive():
            if self.deadline is not None and time.monotonic() > self.deadline:
                self.thread.join(GRACE)
                yield from self._take(0.0, GRACE)
                return
            yield from self._take(POLL, 2 * POLL)
        # What was asked last may have been answered before the last trial ended.
        for _ in range(2):
            yield from self._take(0.0, LOST)

    def _take(self, seconds: float, patience: float) -> list[tuple[Trial, Any]]:
        """Return what is in the box, or comes within so many seconds; nothing where the box is slow to answer."""
        from automl_ray.tasks import unpack

        ray = self.cluster.ray
        try:
            self._asked = self._asked or self.box.take.remote(seconds)
            if not ray.wait([self._asked], timeout=patience)[0]:
                if time.monotonic() - self._heard > LOST:
                    raise TimeoutError(f"no answer for {LOST:.0f} s")
                return []
            items, self._asked, self._heard = ray.get(self._asked), None, time.monotonic()
        except (ray.exceptions.RayError, ConnectionError, TimeoutError) as error:
            raise ComponentUnavailable(
                f"the Ray cluster at {self.cluster.address or 'this machine'} is lost: {error} Start the study again: it "
                "goes on where it stopped."
            ) from error
        ended = []
        for item in map(unpack, items):
            if isinstance(item, str):
                log.warning(item)
            else:
                ended.append(item)
        return ended

    def stop(self) -> None:
        """Let Ray Tune end; it does within seconds, and with the connection at the latest."""
        try:
            self.box.stop.remote()
            self.thread.join(GRACE)
        except Exception:  # noqa: BLE001 - a cluster that is lost needs no telling
            return
