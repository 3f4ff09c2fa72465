"""What runs inside Ray Tune: its searcher, its schedulers, a trial in a worker, and the way home for what came of it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.tune import schedulers
from ray.tune.search import Searcher

from automl_core import Shared, Trial, TrialState
from automl_ray.tasks import is_loss, pack

if TYPE_CHECKING:
    from automl_core import Evaluate
    from automl_ray.proposals import Proposals

__all__ = ["Reports", "Stop", "Suggestions", "make_scheduler", "make_trainable"]

# It misses the files that are not written, one line for each trial.
logging.getLogger("ray.tune.analysis.experiment_analysis").setLevel(logging.CRITICAL)
REDUCTION = 4  # of the trials that reach a rung, one in so many goes on: Ray's and the paper's choice
ERRORS = "error.txt"  # Tune's file of a trial's failures
REASON = 500  # characters
LOOK = 0.5  # seconds between two looks whether to stop


def send(box: Any, trial: Trial, state: Any = None, report: dict[str, Any] | None = None) -> None:
    ray.get(box.put.remote(pack((trial, state)), trial.id, report))


class Suggestions(Searcher):
    """Given configurations, then proposals.

    Args:
        first: keep their ids; those of proposals follow on them.
    """

    def __init__(self, proposals: Proposals, first: Sequence[Trial]) -> None:
        super().__init__(metric="loss", mode="min")
        self._proposals, self._first = proposals, list(first)
        self._offset = max((trial.id for trial in first), default=-1) + 1
        self._running: dict[str, Trial] = {}

    def suggest(self, trial_id: str) -> Any:
        trial, offset = (self._first.pop(0), 0) if self._first else (self._proposals.ask_new(), self._offset)
        if trial is None:
            return Searcher.FINISHED
        self._running[trial_id] = trial
        return {"id": trial.id + offset, "learner": trial.learner, "params": dict(trial.params)}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        trial = self._running.pop(trial_id, None)
        if trial is not None:
            # A trial that was stopped early counts with the folds that it has: all losses are means over folds.
            loss = None if error or not result else result.get("loss")
            self._proposals.tell(trial.with_result(TrialState.COMPLETE, loss=loss))

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the study's journal is what a killed study goes on from."""

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("Ray Tune's own state is not kept; start the study again, it goes on by its journal")


class Reports(tune.Callback):
    """Tells of trials that brought nothing home: stopped early, or lost with their workers.

    Args:
        retries: how often Tune runs a trial again.
    """

    def __init__(self, box: Any, steps: int, retries: int) -> None:
        self._box, self._steps, self._retries = box, steps, retries

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        done = (trial.last_result or {}).get("step", 0)
        if done < self._steps:
            self._tell(trial, TrialState.PRUNED, f"stopped after {done} of {self._steps} steps")

    def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        # To be logged where the study runs, which may be another machine.
        said = f"trial {trial.config['id']} was lost with its worker and runs again: {_reason(trial)}"
        ray.get(self._box.put.remote(pack(said)))

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        why = f"its worker died: {_reason(trial)}"
        if trial.run_metadata.num_failures > self._retries:
            self._tell(trial, TrialState.FAILED, why)
            return
        # Tune gives up at once on a trial whose worker dies before it has begun: it goes back to be run again.
        self.on_trial_recover(iteration, trials, trial)
        self._tell(trial, TrialState.RUNNING, why)

    def _tell(self, trial: Any, state: TrialState, error: str) -> None:
        seconds = float((trial.last_result or {}).get("seconds", 0.0))
        ended = Trial(trial.config["id"], trial.config["learner"], trial.config["params"])
        send(self._box, ended.with_result(state, error=error, seconds=seconds))


def _reason(trial: Any) -> str:
    """Return what Ray said of the last failure; Tune forgets it, but for a file, once it runs the trial again."""
    file = Path(trial.local_path or "", ERRORS)
    said = file.read_text().rpartition("Failure # ")[2].partition("\n")[2].strip() if file.is_file() else ""
    if "ray::" in said.partition("\n")[0]:  # a traceback from a worker: what was raised stands last
        said = said.rpartition("\n")[2]
    return " ".join(said.split())[:REASON] or "no reason is known"


class Stop(tune.Stopper):
    """Ends Tune when the study takes nothing any more."""

    def __init__(self, box: Any) -> None:
        self._box, self._looked, self._stopped = box, 0.0, False

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        if not self._stopped and time.monotonic() - self._looked > LOOK:
            self._looked = time.monotonic()
            self._stopped = bool(ray.get(self._box.stopped.remote()))
        return self._stopped


def make_scheduler(name: str, steps: int) -> Any:
    """Make the scheduler of a name, for trials of so many steps; what they report counts them as "step"."""
    common: dict[str, Any] = {"time_attr": "step", "metric": "loss", "mode": "min", "grace_period": 1}
    if name == "asha":
        return schedulers.AsyncHyperBandScheduler(**common, max_t=steps, reduction_factor=REDUCTION)
    if name == "hyperband":
        # In brackets of its own, which begin to stop at different steps. Ray's synchronous one pauses trials by
        # checkpoints of their models, of which trials here have none.
        return schedulers.AsyncHyperBandScheduler(**common, max_t=steps, reduction_factor=2, brackets=2)
    if name == "median":
        # It would pause trials, too, until there are enough to compare with.
        return schedulers.MedianStoppingRule(**common, min_samples_required=3, min_time_slice=steps)
    make: Any = schedulers.FIFOScheduler
    return make()


def make_trainable(evaluate: Shared[Evaluate], box: Any, steps: int) -> Callable[[dict[str, Any]], None]:
    """Make the function that a worker runs for each trial."""

    def trial(config: dict[str, Any]) -> None:
        run_trial(config, evaluate, box, steps)

    return trial


def run_trial(config: dict[str, Any], evaluate: Shared[Evaluate], box: Any, steps: int) -> None:
    """Evaluate a trial step by step; what came of it goes home before the last report ends it.

    Tune runs a trial again whose worker dies between the two; then nothing is left but to report it.
    """
    report = ray.get(box.report.remote(config["id"]))
    if report is not None:
        tune.report(report)
        return
    seconds = 0.0
    trial = Trial(config["id"], config["learner"], config["params"])
    results: Iterator[tuple[Any, float]] | None = None
    for step in range(1, steps + 1):
        started = time.monotonic()
        try:
            # A machine that lacks a package of the driver's fails here.
            results = results or evaluate.get()(trial)
            state, loss = next(results)
        except (Exception, SystemExit) as error:  # told to the study; a learner may even exit
            if is_loss(error):
                raise  # Tune runs it again elsewhere
            seconds += time.monotonic() - started
            failed = trial.with_result(TrialState.FAILED, error=f"{type(error).__name__}: {error}", seconds=seconds)
            report = {"loss": math.nan, "step": 0}
            send(box, failed, report=report)
            # Raising it would start the trial again, as if its worker had died.
            tune.report(report)
            return
        seconds += time.monotonic() - started
        report = {"loss": loss if math.isfinite(loss) else math.nan, "step": step, "seconds": seconds}
        if step == steps:
            send(box, trial.with_result(TrialState.COMPLETE, loss=loss, seconds=seconds), state, report)
        tune.report(report)
