"""What every tracker must do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from automl_core.kinds import Tracker
from automl_core.powers import Registry
from automl_core.records import Study, Trial, TrialState
from automl_core.testing.conformance import Conformance

__all__ = ["TrackerConformance"]

STUDY = Study(id="study-1", task="binary", metric="roc_auc", rows=100, columns=5, seed=0, folds=3, learners=("linear",))


def trial(number: int = 0, **changes: object) -> Trial:
    asked = Trial(number, "linear", {"c": 0.5, "penalty": "l2", "intercept": True, "classes": None})
    return asked.with_result(TrialState.COMPLETE, **{"loss": 0.25, "seconds": 1.5, "metrics": {"auc": 0.75}, **changes})


class TrackerConformance(Conformance):
    """Override the fixture `tracker`, which has recorded nothing; and `recorded` where that can be read back."""

    @pytest.fixture
    def tracker(self) -> Tracker:
        raise NotImplementedError("override the fixture `tracker`")

    @pytest.fixture
    def recorded(self) -> Callable[[], Sequence[Trial]] | None:
        """Return a function that lists the trials of the one study that was recorded, by id; None where none can.

        Of each trial the id, state and loss are compared.
        """
        return None

    def test_trials_are_recorded(self, tracker: Tracker, recorded: Callable[[], Sequence[Trial]] | None) -> None:
        tracker.start(STUDY)
        tracker.log(trial(0))
        tracker.log(trial(1, loss=0.125))
        tracker.finish()
        tracker.close()
        assert _essence(recorded) in (None, [(0, "complete", 0.25), (1, "complete", 0.125)])

    def test_same_trial_again_replaces(self, tracker: Tracker, recorded: Callable[[], Sequence[Trial]] | None) -> None:
        tracker.start(STUDY)
        tracker.log(trial(0, loss=0.5))
        tracker.log(trial(0, loss=0.25))
        tracker.finish()
        tracker.close()
        assert _essence(recorded) in (None, [(0, "complete", 0.25)])

    def test_same_study_again_goes_on(self, tracker: Tracker, recorded: Callable[[], Sequence[Trial]] | None) -> None:
        tracker.start(STUDY)
        tracker.log(trial(0))
        tracker.finish()
        tracker.start(STUDY)
        tracker.log(trial(1))
        tracker.finish()
        tracker.close()
        assert _essence(recorded) in (None, [(0, "complete", 0.25), (1, "complete", 0.25)])

    def test_failed_trial_is_recorded(self, tracker: Tracker, recorded: Callable[[], Sequence[Trial]] | None) -> None:
        tracker.start(STUDY)
        failed = Trial(0, "linear", {}).with_result(TrialState.FAILED, error="ValueError: größe\n" * 500)
        tracker.log(failed)
        tracker.finish()
        tracker.close()
        assert _essence(recorded) in (None, [(0, "failed", None)])

    def test_numbers_that_are_not_finite_do_not_raise(self, tracker: Tracker) -> None:
        tracker.start(STUDY)
        tracker.log(trial(0, metrics={"auc": float("nan"), "loss": float("inf")}))
        tracker.finish()

    def test_long_and_foreign_text_does_not_raise(self, tracker: Tracker) -> None:
        tracker.start(STUDY)
        tracker.log(Trial(0, "linear", {"größe": "数据 " * 2000}).with_result(TrialState.COMPLETE, loss=0.5))
        tracker.finish()

    def test_finish_takes_an_error(self, tracker: Tracker) -> None:
        tracker.start(STUDY)
        tracker.finish(RuntimeError("the study failed"))

    def test_finish_without_start_is_harmless(self, tracker: Tracker) -> None:
        tracker.finish()

    def test_artifact_is_taken(self, tracker: Tracker, tmp_path: Path) -> None:
        file = tmp_path / "report.html"
        file.write_text("<p>report</p>")
        tracker.start(STUDY)
        tracker.artifact("report.html", file)
        tracker.finish()
        assert file.read_text() == "<p>report</p>"

    def test_registered_model_comes_back(self, tracker: Tracker, tmp_path: Path) -> None:
        registry = _registry(tracker)
        paths = [tmp_path / "first.automl", tmp_path / "second.automl"]
        for path in paths:
            path.write_bytes(path.name.encode())
        versions = [registry.register("income", path, tags={"metric": "roc_auc"}) for path in paths]
        assert list(registry.versions("income")) == versions
        assert [registry.resolve("income", version).read_bytes() for version in versions] == [
            b"first.automl",
            b"second.automl",
        ]

    def test_alias_moves(self, tracker: Tracker, tmp_path: Path) -> None:
        registry = _registry(tracker)
        for text in ("first", "second"):
            (tmp_path / text).write_text(text)
            registry.alias("income", "champion", registry.register("income", tmp_path / text))
            assert registry.resolve("income", "champion").read_text() == text

    def test_promotion_and_rollback_move_an_alias(self, tracker: Tracker, tmp_path: Path) -> None:
        registry = _registry(tracker)
        for text in ("first", "second"):
            (tmp_path / text).write_text(text)
            registry.alias("income", "challenger", registry.register("income", tmp_path / text, tags={"made": text}))
            registry.alias("income", "champion", "challenger")
        first, second = registry.versions("income")
        assert registry.aliases("income") == {"challenger": second, "champion": second}
        assert registry.rollback("income", "champion") == first
        assert registry.resolve("income", "champion").read_text() == "first"
        assert registry.tags("income", "champion")["made"] == "first"
        with pytest.raises(KeyError):
            registry.rollback("income", "champion")

    def test_unknown_model_has_no_versions(self, tracker: Tracker) -> None:
        registry = _registry(tracker)
        assert (list(registry.versions("nothing")), dict(registry.aliases("nothing"))) == ([], {})

    @pytest.mark.parametrize(("name", "version"), [("nothing", "1"), ("income", "99"), ("income", "challenger")])
    def test_unknown_model_is_a_key_error(self, tracker: Tracker, tmp_path: Path, name: str, version: str) -> None:
        registry = _registry(tracker)
        (tmp_path / "model").write_text("x")
        registry.register("income", tmp_path / "model")
        with pytest.raises(KeyError):
            registry.resolve(name, version)

    def test_close_may_be_called_twice(self, tracker: Tracker) -> None:
        with tracker as entered:
            assert entered is tracker
        tracker.close()


def _essence(recorded: Callable[[], Sequence[Trial]] | None) -> list[tuple[int, str, float | None]] | None:
    if recorded is None:
        return None
    return sorted((one.id, str(one.state), one.loss) for one in recorded())


def _registry(tracker: Tracker) -> Registry:
    if not isinstance(tracker, Registry):
        pytest.skip("this tracker is no registry of models")
    return tracker
