"""Models by their names in a registry: in code, on the command line, and in service."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner, Result
from sklearn.datasets import load_iris

from automl import AutoML, Model, load_model
from automl.cli.app import cli
from automl.service import PredictionService, ServiceOptions
from automl.tracking.mlflow_integration import MLflowConfig, MLflowTracker
from automl_core import DataError, Plugins, SettingsError
from automl_core.settings import load_settings

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")
ROWS = load_iris(as_frame=True).data.iloc[::10]
Run = Callable[..., Result]


def fit(folder: Path, *, seed: int = 0, trackers: tuple[str, ...] = ()) -> AutoML:
    settings = load_settings(
        executor="serial", search="random", learners=("sklearn.linear",), trackers=trackers, directory=str(folder)
    )
    automl = AutoML(time_limit=None, max_trials=2, folds=2, seed=seed, settings=settings, n_jobs=1)
    return automl.fit(load_iris(as_frame=True).frame.sample(frac=0.7, random_state=seed), target="target")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The files of two models that differ."""
    folder = tmp_path_factory.mktemp("models")
    paths = [folder / "first.automl", folder / "second.automl"]
    for seed, path in enumerate(paths):
        fit(folder / str(seed), seed=seed).save(path)
    return paths


@pytest.fixture(scope="session")
def use_store(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Give a directory of the engine a store of MLflow with all its tables: making those takes seconds."""
    template = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        MLflowTracker(directory=template).versions("nothing")

    def use(directory: Path) -> Path:
        shutil.copytree(template, directory, dirs_exist_ok=True)
        return directory

    return use


@pytest.fixture(params=["journal", "mlflow"])
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use_store) -> Run:
    """Run the command line in an empty folder, with a tracker that is a registry."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOML_TRACKERS", request.param)
    use_store(tmp_path / ".automl")

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(cli, [str(argument) for argument in arguments], prog_name="automl")

    return call


def probabilities(model: Model | Path | str) -> np.ndarray:
    return (load_model(model) if isinstance(model, str | Path) else model).predict_proba(ROWS)


def test_models_are_added_promoted_rolled_back_and_loaded(run: Run, models: list[Path]) -> None:
    for path in models:
        assert run("registry", "add", "iris", path, "--alias", "challenger").exit_code == 0
        assert run("registry", "promote", "iris", "challenger").exit_code == 0
    assert "models:/iris@champion is version 1" in run("registry", "rollback", "iris").stdout
    listed = run("registry", "list", "iris").stdout.splitlines()
    assert [line.split()[:2] for line in listed[1:]] == [["1", "champion"], ["2", "challenger"]]
    assert all("study=" in line for line in listed[1:])
    assert np.array_equal(probabilities("models:/iris@champion"), probabilities(models[0]))
    assert np.array_equal(probabilities("models:/iris/2"), probabilities(models[1]))
    assert "chosen by" in run("inspect", "models:/iris@challenger").stdout


@pytest.mark.parametrize(
    "words", [["list", "iris"], ["promote", "iris", "3"], ["rollback", "iris"]], ids=lambda words: words[0]
)
def test_unknown_model_is_named_on_the_command_line(run: Run, words: list[str]) -> None:
    result = run("registry", *words)
    assert result.exit_code == 1
    assert "iris" in result.stderr


def test_unknown_model_is_a_data_error(run: Run) -> None:
    with pytest.raises(DataError, match="no model models:/iris@champion"):
        load_model("models:/iris@champion")


def test_server_of_an_unknown_model_ends_with_a_message(run: Run) -> None:
    result = run("serve", "models:/iris@champion")
    assert result.exit_code == 1
    assert "there is no such model" in result.stderr
    assert "iris" in result.stderr


def test_name_without_a_registry_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(SettingsError, match="AUTOML_TRACKERS=mlflow"):
        load_model("models:/iris@champion")


@pytest.mark.parametrize("tracker", ["journal", "mlflow"])
def test_service_follows_an_alias(tmp_path: Path, models: list[Path], tracker: str, use_store) -> None:
    use_store(tmp_path)
    plugins = Plugins(load_settings(trackers=(tracker,), directory=str(tmp_path)))
    registry = plugins.build("tracker", tracker)
    for path in models:
        registry.register("iris", path)
    registry.alias("iris", "champion", "1")
    service = PredictionService(plugins, options=ServiceOptions(reload_seconds=0))
    service.add("models:/iris@champion", name="iris")
    with service:
        assert np.array_equal(service.predict(ROWS).said, probabilities(models[0]))
        registry.alias("iris", "champion", "2")
        assert service._watcher is not None
        assert service._watcher.look() == 1
        assert np.array_equal(service.predict(ROWS).said, probabilities(models[1]))
        registry.rollback("iris", "champion")
        assert service._watcher.look() == 1
        assert np.array_equal(service.predict(ROWS).said, probabilities(models[0]))


FILES = {"leaderboard.csv", "leaderboard.json", "model", "plots", "report.html"}


def test_study_leaves_its_trials_and_its_model_in_mlflow(tmp_path: Path, use_store) -> None:
    use_store(tmp_path)
    automl = fit(tmp_path, trackers=("mlflow",))
    tracker = MLflowTracker(directory=tmp_path)
    for thread in threading.enumerate():
        if thread.name == "automl-mlflow":
            thread.join(300)
    assert tracker.flush() == (0, 0)
    client, experiment = tracker.connection.client, tracker.connection.experiment()
    (parent,) = client.search_runs([experiment], f"tags.`automl.study` = '{automl.study_.id}'")
    children = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    assert parent.info.status == "FINISHED"
    assert {(run.data.tags["automl.learner"], run.info.status) for run in children} == {("sklearn.linear", "FINISHED")}
    assert len(children) == 2
    assert parent.data.metrics["best_loss"] == min(run.data.metrics["loss"] for run in children)
    assert parent.data.metrics[f"best_{automl.study_.metric}"] == automl.model_.info["scores"]["best_single"]
    assert {file.path for file in client.list_artifacts(parent.info.run_id)} == FILES
    plots = Path(client.download_artifacts(parent.info.run_id, "plots", str(tmp_path)))
    assert {ElementTree.parse(file).getroot().tag for file in plots.iterdir()} == {"{http://www.w3.org/2000/svg}svg"}
    fetched = load_model(tracker.fetch(f"runs:/{parent.info.run_id}/model"))
    assert np.array_equal(probabilities(fetched), probabilities(automl.model_))


@pytest.mark.filterwarnings("ignore")  # of MLflow's own code, and of pandas in it
def test_pyfunc_predicts_the_same(
    tmp_path: Path, models: list[Path], use_store, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_store(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # which MLflow sets, and which must not outlive the test
    monkeypatch.chdir(tmp_path)  # where MLflow puts artifacts by default
    pytest.importorskip("pandas")
    import mlflow

    uri = f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}"
    tracker = MLflowTracker(MLflowConfig(tracking_uri=uri), directory=tmp_path)
    tracker.register("iris", models[0])
    tracker.alias("iris", "champion", "1")
    mlflow.set_tracking_uri(tracker.connection.uri)
    try:
        loaded = mlflow.pyfunc.load_model("models:/iris@champion")
    finally:
        mlflow.set_tracking_uri(None)
    model = load_model(models[0])
    assert np.array_equal(loaded.predict(ROWS), model.predict(ROWS))
    assert np.array_equal(loaded.predict(ROWS, params={"proba": True}), model.predict_proba(ROWS))
    assert [column.name for column in loaded.metadata.get_input_schema()] == list(ROWS.columns)
    example = loaded.input_example
    assert list(example.columns) == list(ROWS.columns)
    assert loaded.predict(example).shape == (1,)
