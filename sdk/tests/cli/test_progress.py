from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from automl.progress import LiveProgress, PlainProgress, show_progress
from automl_core import Plugins, Study, Trial, TrialState
from automl_core.settings import load_settings

STUDY = Study("s1", "binary", "roc_auc", rows=100, columns=7, seed=0, folds=5, target="paid", time_limit=30.0)


def finished(
    number: int, loss: float | None, state: TrialState = TrialState.COMPLETE, error: str | None = None
) -> Trial:
    return Trial(number, "lightgbm", {}, state=state, loss=loss, seconds=1.5, error=error)


def tell(listener: object, *trials: Trial, study: Study = STUDY) -> None:
    """Tell a listener of a whole study, through the plugin host as the engine does."""
    plugins = Plugins(load_settings(strict=True))
    plugins.listen(listener, "progress")
    plugins.emit("automl_study_started", study=study)
    for trial in trials:
        plugins.emit("automl_trial_finished", study=study, trial=trial)
    plugins.emit("automl_study_finished", study=study, error=None)


def plain(*trials: Trial, study: Study = STUDY) -> list[str]:
    stream = io.StringIO()
    tell(PlainProgress(stream), *trials, study=study)
    return stream.getvalue().splitlines()


def test_plain_progress_begins_with_the_study() -> None:
    assert plain()[0] == "binary of 'paid': 100 rows, 7 columns, roc_auc, up to 30 s"


def test_score_is_in_the_metrics_own_direction() -> None:
    assert "lightgbm #0  roc_auc 0.90000 *" in plain(finished(0, 0.1))[1]


def test_only_a_new_best_trial_is_marked() -> None:
    lines = plain(finished(0, 0.2), finished(1, 0.3), finished(2, 0.1))
    assert [line.endswith("*") for line in lines[1:4]] == [True, False, True]


def test_failed_trial_tells_its_reason() -> None:
    assert "failed: out of memory" in plain(finished(0, None, TrialState.FAILED, "out of memory"))[1]


def test_last_line_sums_up() -> None:
    assert plain(finished(0, 0.2), finished(1, 0.1))[-1].endswith("2 trials, best roc_auc 0.90000")


def test_live_progress_shows_what_is_fitted_and_what_is_left() -> None:
    listener = LiveProgress()
    listener.automl_study_started(STUDY)
    listener.automl_trial_started(Trial(7, "catboost", {}))
    shown = drawn(listener)
    assert "fitting catboost #7" in shown
    assert re.search(r"\d+ s left, \d+\.\d GB free", shown)
    listener.automl_trial_finished(finished(7, 0.1))
    assert "catboost #7" not in drawn(listener)


def test_unknown_metric_is_shown_as_a_loss() -> None:
    study = Study("s1", "binary", "my_own_metric", rows=100, columns=7, seed=0, folds=5)
    assert "loss 0.25000" in plain(finished(0, 0.25), study=study)[1]


def drawn(listener: LiveProgress) -> str:
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as capture:
        console.print(listener)
    return capture.get()


def test_live_progress_shows_the_three_best() -> None:
    listener = LiveProgress()
    tell(listener, *(finished(i, loss) for i, loss in enumerate([0.4, 0.1, 0.3, 0.2])))
    out = drawn(listener)
    assert "4 trials, best roc_auc 0.90000" in out
    assert [out.find(f"#{i}") > 0 for i in range(4)] == [False, True, True, True]


def test_live_progress_counts_the_time_down() -> None:
    listener = LiveProgress()
    tell(listener)
    assert "30 s left" in drawn(listener)


def test_live_progress_draws_before_the_study_begins() -> None:
    assert "reading and planning" in drawn(LiveProgress())


@pytest.mark.parametrize(("terminal", "kind"), [(False, PlainProgress), (True, LiveProgress)])
def test_stream_decides_how_progress_is_shown(terminal: bool, kind: type) -> None:
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    with show_progress(Stream()) as listener:
        assert isinstance(listener, kind)


def test_no_color_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = LiveProgress()
    tell(listener, finished(0, 0.1))
    shown = {}
    for value in ("", "1"):
        monkeypatch.setenv("NO_COLOR", value)
        console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system="truecolor")
        console.print(listener)
        shown[value] = re.findall(r"\x1b\[[0-9;]*38;", console.file.getvalue())
    assert shown[""]
    assert shown["1"] == []
