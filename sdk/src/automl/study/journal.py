"""The write-ahead journal: every fitted part is on record before it counts, so that a killed study goes on."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.artifact.flats import dump_flat, load_flat
from automl.predictor.network import NetworkModel, network_from_arrays, network_to_arrays
from automl.study.frame import Fitted
from automl.study.restored import RestoredModel
from automl_core import (
    ComponentUnavailable,
    DataError,
    Event,
    Exports,
    Fold,
    Forest,
    Learner,
    Network,
    Portable,
    Storage,
    Study,
    Trial,
    TrialState,
    decode,
    encode,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from automl.study.members import Member
    from automl.study.plan import Plan
    from automl.study.problem import Problem
    from automl_core import Settings

__all__ = ["Journal", "trial_key", "trial_seed"]

LAYER = "network/"  # begins the names of a network's arrays
log = logging.getLogger("automl.study")


def trial_key(learner: str, params: Mapping[str, Any], view: str) -> str:
    """Return what a trial's fits depend on, besides the study, as 16 hexadecimal digits."""
    body = json.dumps([learner, dict(params), view], sort_keys=True, default=str)
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def trial_seed(seed: int, key: str) -> int:
    """Return a trial's seed: by what is fitted, not by its turn, as after a kill turns may differ."""
    return (seed + int(key[:7], 16)) % 2**31


class Journal:
    """The record of one study in a storage.

    A study whose process lives still is not touched: a second one of the same data gets a number of its own.
    A storage that fails during the study costs the resumption, with one warning, never the study.
    """

    def __init__(self, storage: Storage, study: Study) -> None:
        self._storage, self.study = storage, study
        self._broken = False
        self.id = study.id
        number = 1
        while self._taken():
            number += 1
            self.id = f"{study.id}-{number}"
        self._records = [decode(line) for _, line in storage.read(self._log)]
        self.elapsed = max((r.elapsed for r in self._records if isinstance(r, Fold)), default=0.0)
        self._started = time.monotonic() - self.elapsed
        self._append(study)
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "born": _born(os.getpid())}
        self._append(Event("owner", time.time(), owner))

    @staticmethod
    def identify(problem: Problem, settings: Settings, learners: Mapping[str, Learner], *, timed: bool) -> str:
        """Return what the result depends on, as the study's id."""
        fields = [
            problem.data.key, problem.task, problem.target, problem.metric.name, problem.seed, problem.quality,
            problem.folds, problem.max_trials, sorted(learners), settings.search, str(problem.predict_time_limit), timed,
            [trial_key(p.learner, p.candidate.params, p.candidate.view) for p in problem.start],
        ]  # fmt: skip
        if problem.unlabelled is not None:
            fields.append(hashlib.sha256(problem.unlabelled.tobytes()).hexdigest())
        return hashlib.sha256(json.dumps(fields, default=str).encode()).hexdigest()[:20]

    @property
    def _log(self) -> str:
        return f"studies/{self.id}/journal"

    def _taken(self) -> bool:
        owners = [
            record for _, line in self._storage.read(self._log)
            if isinstance(record := decode(line), Event) and record.name == "owner"
        ]  # fmt: skip
        if not owners or owners[-1].attributes.get("host") != socket.gethostname():
            return False
        pid = int(owners[-1].attributes.get("pid", -1))
        return _born(pid) is not None and _born(pid) == owners[-1].attributes.get("born")

    # ---- what an earlier run left

    @property
    def plan(self) -> Mapping[str, Any] | None:
        """The plan of the earlier run, whose splits its parts belong to."""
        plans = [r.attributes for r in self._records if isinstance(r, Event) and r.name == "plan"]
        return plans[-1] if plans else None

    @property
    def gains(self) -> dict[int, NDArray[np.float64]]:
        """Gains by column of trials of the earlier run, for its parts to go on with the same derived columns."""
        told = [r.attributes for r in self._records if isinstance(r, Event) and r.name == "gains"]
        return {item["trial"]: np.array(item["gains"], dtype=np.float64) for item in told}

    def restore(self, learners: Mapping[str, Learner]) -> dict[str, dict[int, Fitted]]:
        """Return the fitted parts on record by trial key."""
        found: dict[str, dict[int, Fitted]] = {}
        for record in self._records:
            if isinstance(record, Fold) and record.key:
                fitted = self._load(record, learners)
                if fitted is not None:
                    found.setdefault(record.key, {})[record.fold] = fitted
        if found:
            log.info("resuming: %d trials of an earlier run are on record", len(found))
        return found

    def searched(self) -> list[Trial]:
        """Return what the search of earlier runs tried and ended, each configuration once."""
        ended = [r for r in self._records if isinstance(r, Trial) and r.state != TrialState.RUNNING]
        return list({trial_key(t.learner, t.params, ""): t for t in ended if t.origin == "search"}.values())

    def _load(self, record: Fold, learners: Mapping[str, Learner]) -> Fitted | None:
        try:
            with self._storage.open(self._blob(record.key, record.fold)) as file:
                blob = dict(np.load(io.BytesIO(file.read()), allow_pickle=False))
            learner: Any = learners.get(str(blob["learner"]))
            curve = blob["curve"].tolist() or None
            if "flat" in blob:
                model: Any = RestoredModel(load_flat(blob["flat"].tobytes()), curve, record.rounds)
            elif "network" in blob:
                arrays = {name.removeprefix(LAYER): blob[name] for name in blob if name.startswith(LAYER)}
                model = NetworkModel(
                    network_from_arrays(json.loads(str(blob["network"])), arrays, columns=len(blob["keep"]))
                )
            elif isinstance(learner, Portable):
                model = learner.load(blob["model"].tobytes())
            else:
                return None
        except (KeyError, ValueError, OSError, DataError) as error:
            log.warning("part %d of trial %d is fitted again: %s", record.fold, record.trial, error)
            return None
        prediction = blob["prediction"]
        keep = blob["keep"]
        return Fitted(record.fold, model, keep, (), prediction, record.seconds, base="flat" in blob)

    # ---- what this run adds

    def begin(self, plan: Plan) -> None:
        self._append(Event("plan", time.time(), {"folds": plan.folds, "holdout": plan.holdout}))

    def weigh(self, trial: int, gains: NDArray[np.float64]) -> None:
        self._append(Event("gains", time.time(), {"trial": trial, "gains": gains.tolist()}))

    def tell(self, trial: Trial) -> None:
        self._append(trial)

    def keep(self, member: Member, fitted: Fitted, learner: Learner, columns: int) -> Fitted:
        """Put a fitted part on record: its arrays first, then the line that says they are there.

        A model that is neither flat nor a network nor portable is not kept, and is fitted again after a kill. Returns the part to go
        on with: flat where nothing of it is to be cut off, which takes less memory than a library's own objects.
        """
        from automl.study.finish import exported, flatten

        has_form = isinstance(fitted.model, Exports) or isinstance(learner, Portable)
        if self._broken or fitted.base or not has_form:
            return fitted
        arrays: dict[str, Any] = {}
        whole = replace(fitted, model=fitted.cut())
        flat = flatten(whole, columns)
        rounds = len(fitted.curve or ())
        if isinstance(flat, Forest) and rounds and len(flat.roots) % rounds:
            flat = None  # which tree is of which round nobody could tell
        if flat is not None:
            arrays["flat"] = np.frombuffer(dump_flat(flat), dtype=np.uint8)
        elif isinstance(network := exported(whole.model), Network) and not (network.derived or fitted.derived):
            head, layers = network_to_arrays(network)
            arrays = {LAYER + name: array for name, array in layers.items()} | {"network": np.array(json.dumps(head))}
        elif isinstance(learner, Portable) and not fitted.derived:
            arrays["model"] = np.frombuffer(learner.dump(fitted.model), dtype=np.uint8)
        else:
            return fitted
        buffer = io.BytesIO()
        np.savez(
            buffer, prediction=np.asarray(fitted.prediction), curve=np.array(fitted.curve or [], dtype=np.float64),
            learner=np.array(member.trial.learner),
            keep=np.arange(columns, dtype=np.int32) if flat is not None else fitted.keep, **arrays,
        )  # fmt: skip
        self._guard(self._storage.put, self._blob(member.key, fitted.part), buffer.getvalue())
        elapsed = time.monotonic() - self._started
        self._append(Fold(member.trial.id, fitted.part, None, fitted.seconds, fitted.model.rounds, member.key, elapsed))
        if flat is None or fitted.curve is not None:
            return fitted
        model = RestoredModel(flat, None, fitted.model.rounds)
        return replace(fitted, model=model, keep=np.arange(columns, dtype=np.int32), derived=(), base=True)

    def finish(self) -> None:
        """Forget the study: its answer is out, and the same command is to look again."""
        for key in list(self._guard(lambda: list(self._storage.keys(f"studies/{self.id}/"))) or ()):
            self._guard(self._storage.delete, key)
        self._guard(self._storage.delete, self._log)

    def _blob(self, key: str, part: int) -> str:
        return f"studies/{self.id}/{key}-{part}"

    def _append(self, record: Any) -> None:
        self._guard(self._storage.append, self._log, encode(record))

    def _guard(self, call: Any, *arguments: Any) -> Any:
        if self._broken:
            return None
        try:
            return call(*arguments)
        except (OSError, ComponentUnavailable) as error:
            self._broken = True
            log.warning("the journal cannot be written, so this study cannot be resumed: %s", error)
            return None


def _born(pid: int) -> str | None:
    """Return when a process of this machine started, in the kernel's ticks; None where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except OSError:
        return None
