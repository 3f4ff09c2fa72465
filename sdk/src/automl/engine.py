"""The engine: one call from a table to a model."""

from __future__ import annotations

import inspect
import logging
import time as clocks
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from automl.arguments import ARGUMENTS, check_arguments, count_threads
from automl.metrics import resolve_metric
from automl.origin import describe_origin
from automl.several.model import MultiModel, open_once, page_names
from automl.study.clock import Clock
from automl_core import AutoMLError, DataError, Plugins, SettingsError, Study

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from automl.model import Model
    from automl.prepare import Prepared
    from automl.study.leaderboard import Leaderboard
    from automl.study.problem import Outcome, Problem
    from automl_core import Settings

__all__ = ["AutoML"]

log = logging.getLogger("automl")


class AutoML:
    """Finds the best model for a table of data.

    Args:
        time_limit: seconds of wall clock from the call of `fit` to its return; None without a limit, which then needs
            `max_trials`.
        metric: a name ("roc_auc", "log_loss", "rmse", ... or any of scikit-learn's scorers), a scorer, or a function
            of (target, prediction) whose greater values are better; None takes the usual one of the task. "pinball:0.9" makes
            predictions that quantile. Of several targets also a dict by target.
        task: "binary", "multiclass" (of two classes it is binary, too) or "regression"; None finds it in the target. Of
            several targets also a dict.
        seed: with `max_trials` and no `time_limit`, the same seed gives the same model.
        n_jobs: threads on this machine; None or -1 takes all cores.
        quality: "fast" ships members fitted once, on all rows; "balanced" ensembles that predict a row in about 200
            microseconds; "best" what scores best within a millisecond.
        settings: which plugins to use; None reads the environment and `automl.toml`.
        max_trials: how many configurations to fit at most.
        predict_time_limit: microseconds that predicting one row may cost, by estimate, instead of `quality`'s.
        folds: parts of the cross-validation, 1 for a holdout; None chooses by what fits cost.
        listeners: objects with `automl_core.hookimpl` methods that are told of events.
        optimizer: a search with its own settings, instead of the one that `settings` names.
        memory_limit: bytes that work on the table may take; None takes half of what is free. Parquet files for which it is
            too little, and data frames of Dask, are read in batches: the search learns from a sample, the best from all rows.
        held_out_rows: how many rows at most of a table that is read in batches no model sees, for the score of the model on
            them, of one row in twenty; 0 for none.
        monotone: columns of numbers (of an array without names "x0", "x1", ...) that the prediction may only grow with (1)
            or only fall with (-1): the number, or the probability of the second of two classes.
        storage: where the study's journal is kept, instead of where `settings` say: a name, or "s3://bucket/folder".

    Attributes:
        classes_: labels in the order of `predict_proba`'s columns; not there for regression.
        model_: what `save` writes. study_: the record of the search.
        engines_: after a fit of several targets, the fitted engine of each; then `model_` is a `MultiModel`, methods return
            a dict by target (`predict` an array with a column for each), and there is neither classes_ nor study_.
    """

    spent: float = 0.0  # seconds of the limit that were gone when `fit` was called: a command's imports

    def __init__(
        self,
        *,
        time_limit: float | None = 60.0,
        metric: str | Callable[..., float] | Mapping[str, Any] | None = None,
        task: str | Mapping[str, str] | None = None,
        seed: int = 0,
        n_jobs: int | None = None,
        quality: str = "best",
        settings: Settings | None = None,
        max_trials: int | None = None,
        predict_time_limit: float | None = None,
        folds: int | None = None,
        listeners: Sequence[object] = (),
        optimizer: Any = None,
        memory_limit: int | None = None,
        held_out_rows: int = 100_000,
        monotone: Mapping[str, int] | None = None,
        storage: str | None = None,
    ) -> None:
        self.time_limit = time_limit
        self.metric: Any = metric
        self.task: Any = task
        self.seed = seed
        self.n_jobs = n_jobs
        self.quality = quality
        self.settings = settings
        self.max_trials = max_trials
        self.predict_time_limit = predict_time_limit
        self.folds = folds
        self.listeners = listeners
        self.optimizer = optimizer
        self.memory_limit = memory_limit
        self.held_out_rows = held_out_rows
        self.monotone = monotone
        self.storage = storage

    def __getstate__(self) -> dict[str, Any]:
        # Plugins and what they built belong to this process.
        return {
            name: value
            for name, value in vars(self).items()
            if name not in ("_plugins", "_sample", "outcome_", "listeners")
        } | {"listeners": ()}

    # ---- fit

    def fit(
        self,
        data: Any,
        y: Any = None,
        *,
        target: str | Sequence[str] | None = None,
        sample_weight: Any = None,
        groups: Any = None,
        time: Any = None,
        unlabelled: Any = None,
        warm_start: AutoML | Model | MultiModel | None = None,
    ) -> AutoML:
        """Search for the best model.

        Args:
            data: a path, glob or URI (CSV, Parquet, Arrow IPC, JSON lines), a data frame, an Arrow table, a numpy array
                of shape (rows, columns), a dict of columns, or a list of dicts.
            y: the target of shape (rows,), where `data` does not hold it; (rows, targets) for several.
            target: the name of the target's column in `data`. A list of names fits one model for each, which share the time
                evenly and do not see each other's targets.
            sample_weight: non-negative numbers of shape (rows,), or a column's name; a row of weight 0 is as good as absent.
            groups: of shape (rows,), or a column's name: rows of one group are never on both sides of a split.
            time: of shape (rows,), or a column's name, none missing: models are judged by rows later than those they learned
                from.
            unlabelled: more rows, anything that `data` may be and memory holds, whose target is not known: after half of
                the search the best configurations learn from these, too, with labels that the models so far give
                them; they join the ensemble where that pays out of fold on the labelled rows, as
                `model_.info["unlabelled"]` tells. Not with groups or time.
            warm_start: an earlier model of the same task, whose members are fitted first, on this data: where more rows
                came in, the search goes on from what it found before.

        Raises:
            DataError: the table cannot be learned from; the message says why.
            SettingsError: an argument or setting is wrong.
            PluginError: a selected plugin is missing or broken.
        """
        from automl.several.fit import ask_several

        clock = Clock(self.time_limit, clocks.monotonic() - self.spent)
        check_arguments(self)
        given = {"sample_weight": sample_weight, "groups": groups, "time": time, "unlabelled": unlabelled}
        self._forget()
        if (names := ask_several(y, target)) is not None:
            return self._fit_several(data, y, names, given, warm_start, clock)
        if not (target is None or isinstance(target, str)) or any(
            isinstance(v, Mapping) for v in (self.task, self.metric)
        ):
            raise SettingsError("a metric or task by target needs a list of targets: target=['a', 'b'].")
        if isinstance(warm_start, MultiModel):
            raise DataError("warm_start holds models of several targets: give the one of this target, .models[target].")
        return self._fit_one(data, y, target, given, warm_start, clock)

    def _fit_one(
        self,
        data: Any,
        y: Any,
        target: str | None,
        given: Mapping[str, Any],
        warm_start: AutoML | Model | None,
        clock: Clock,
    ) -> AutoML:
        given = dict(given)
        unlabelled = given.pop("unlabelled")
        plugins = Plugins(self._settings(), threads=count_threads(self.n_jobs))
        for number, listener in enumerate(self.listeners):
            plugins.listen(listener, f"{type(listener).__name__}-{number}")
        from automl.large.fit import finish_large, sample_large, search_clock, survey_large
        from automl.prepare import prepare, to_model, with_unlabelled
        from automl.study.run import run_study
        from automl.tracking.files import write_files

        survey = survey_large(self, data, target, given, plugins) if y is None else None
        table = prepare(
            self.opened(data, plugins) if survey is None else survey.sample,
            y,
            target=target,
            task=self.task,
            given=given,
            seed=self.seed,
            levels=None if survey is None else survey.levels,
            rows=0 if survey is None else survey.rows,
            monotone=self.monotone or {},
        )
        if unlabelled is not None:
            if survey is not None:
                raise DataError("unlabelled rows need the table in memory: raise memory_limit, or fit on a sample.")
            table = with_unlabelled(table, self.opened(unlabelled, plugins), given=given, metric=self.metric)
        searching = clock if survey is None else search_clock(clock, survey)
        if survey is not None:
            table = sample_large(self, survey, table, plugins, given=given, clock=searching)
        problem = self._problem(table, warm_start)
        outcome = run_study(
            problem, plugins, searching, threads=plugins.threads, optimizer=self.optimizer,
            files=partial(write_files, table),
        )  # fmt: skip
        self.study_: Study = outcome.study
        self.outcome_: Outcome = outcome
        self._plugins = plugins
        self.model_: Any = to_model(table, outcome)
        if survey is not None:
            finish_large(self, survey, table, outcome, plugins, given=given, clock=clock)
        arguments = {name: getattr(self, name) for name in ARGUMENTS}
        self.model_.info["origin"] = describe_origin(
            data, arguments, plugins, key=table.data.key, weighted=table.data.weight is not None
        )
        evidence = self.model_.evidence
        self._sample = None if evidence is None else table.table.take(evidence.rows)
        self.coder_ = table.coder
        if problem.classes:
            self.classes_ = self.model_.classes_
        log.info("fitted in %.1f s", clock.elapsed)
        return self

    def _fit_several(
        self, data: Any, y: Any, names: Sequence[str], given: Mapping[str, Any], warm_start: Any, clock: Clock
    ) -> AutoML:
        from automl.several.fit import fit_several

        self.engines_ = fit_several(self, data, y, names, given=given, warm_start=warm_start, clock=clock)
        self.model_ = MultiModel({name: engine.model_ for name, engine in self.engines_.items()})
        return self

    def _forget(self) -> None:
        """Drop what an earlier fit left."""
        for name in ("engines_", "model_", "study_", "outcome_", "coder_", "classes_", "_sample", "_plugins"):
            vars(self).pop(name, None)

    def like(self, **changes: Any) -> AutoML:
        """Return an engine that was not fitted, with the same arguments but for `changes`."""
        names = inspect.signature(type(self)).parameters
        return AutoML(**{name: getattr(self, name) for name in names} | changes)

    def _problem(self, table: Prepared, warm_start: AutoML | Model | None) -> Problem:
        from automl.study.problem import Problem
        from automl.warm_start import members_of

        asked = {name: getattr(self, name) for name in ("seed", "quality", "folds", "max_trials", "predict_time_limit")}
        return Problem(
            data=table.data,
            task=table.coder.task,
            classes=table.coder.classes,
            target=table.coder.name,
            metric=resolve_metric(self.metric, table.coder.task),
            groups=table.groups,
            time=table.time,
            start=() if warm_start is None else members_of(warm_start, table.coder.task),
            curve=table.curve,
            unlabelled=table.unlabelled,
            **asked,
        )

    def _settings(self) -> Settings:
        from automl_core.settings import load_settings

        settings = load_settings() if self.settings is None else self.settings
        return settings if self.storage is None else settings.model_copy(update={"storage": self.storage})

    def opened(self, data: Any, plugins: Plugins | None = None) -> Any:
        """Open what is at URIs of a cloud, with the settings of this engine; anything else is returned as it is.

        What memory could not hold is opened in batches, but for a fit, which brings its own plugins.
        """
        from automl.places import is_in_cloud

        if not is_in_cloud(data):
            return data
        from automl.large.batches import open_batches
        from automl.table import open_table

        if plugins is not None:
            return open_table(data, plugins=plugins)
        batches = open_batches(data, limit=self.memory_limit, plugins=self.host())
        return open_table(data, plugins=self.host()) if batches is None else batches

    def host(self) -> Plugins:
        """Return the plugins of the last fit, or those that the settings name."""
        return self._plugins if hasattr(self, "_plugins") else Plugins(self._settings())

    def distill(self, data: Any, y: Any = None, **arguments: Any) -> AutoML:
        """Fit a small, fast engine that imitates this one by what it said out of fold; see `Model.distill`."""
        from automl.distill import distill

        return distill(self, data, y, **arguments)

    # ---- use

    @property
    def _fitted(self) -> Any:
        if not hasattr(self, "model_"):
            raise AutoMLError("there is no model yet: call fit first.")
        return self.model_

    def predict(self, data: Any) -> NDArray[Any]:
        """Return labels or numbers, shape (rows,), (rows, targets) of several; a single dict is one row."""
        said: NDArray[Any] = self._fitted.predict(self.opened(data))
        return said

    def predict_proba(self, data: Any) -> Any:
        """Return probabilities, float64 (rows, classes), in the order of `classes_`; of several targets a dict of them."""
        return self._fitted.predict_proba(self.opened(data))

    def predict_interval(self, data: Any, *, coverage: float = 0.9) -> Any:
        """Return where each number lies with a probability of `coverage`, float64 (rows, 2), of several targets a dict of them.

        See `Model.predict_interval`.
        """
        return self._fitted.predict_interval(self.opened(data), coverage=coverage)

    def score(self, data: Any, y: Any = None) -> Any:
        """Return the metric, a float in its own direction, on rows with a known target; of several a dict of them."""
        model = self._fitted
        if hasattr(self, "engines_"):
            from automl.several.fit import score_several

            return score_several(self.engines_, self.opened(data), y)
        from automl.scoring import score_model

        return score_model(model, self.coder_, resolve_metric(self.metric, model.task), self.opened(data), y)

    def leaderboard(self) -> Leaderboard:
        """Return what was tried, best first."""
        board: Leaderboard = self._fitted.leaderboard()
        return board

    def feature_importance(self) -> dict[str, Any]:
        """Return each input column's share of what its members' predictions rest on, greatest first; sums to 1.

        Of several targets a dict of these.
        """
        importance: dict[str, Any] = self._fitted.feature_importance()
        return importance

    def report(self, path: str | Path, *, data: Any = None, groups: Sequence[str] = ()) -> None:
        """Write a page about the model, one HTML file; see `Model.report`. Of several targets one page each, named
        by the target: `report-TARGET.html`.

        Args:
            data: rows with the target, best those that were held out; None judges by a sample of the training rows, each
                by models that had not seen it.
            groups: columns whose groups are compared.
        """
        from automl.report.page import write_report

        if hasattr(self, "engines_"):
            data = open_once(self.opened(data))
            for name, page in page_names(path, list(self.engines_)).items():
                self.engines_[name].report(page, data=data, groups=groups)
            return
        write_report(self._fitted, path, data=data, groups=groups, sample=getattr(self, "_sample", None))

    def _repr_html_(self) -> str:
        from html import escape

        if not hasattr(self, "model_"):
            return f"<code>{escape(object.__repr__(self))}</code>"
        return str(self.model_._repr_html_())

    def save(self, path: str | Path) -> None:
        """Write the model to one file or URI, atomically; `automl.load_model` reads it without any training library."""
        from automl.artifact import save_model
        from automl.places import is_in_cloud

        plugins = self.host() if is_in_cloud(path) else None
        if hasattr(self, "engines_"):
            from automl.several.file import save_models

            save_models(self.model_, path, plugins=plugins)
            for engine in self.engines_.values():
                engine.host().emit("automl_model_saved", study=engine.study_, path=path)
            return
        save_model(self._fitted, path, plugins=plugins)
        if hasattr(self, "_plugins"):
            self._plugins.emit("automl_model_saved", study=self.study_, path=path)
