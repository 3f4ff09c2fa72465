"""MLflow's own pages in a real browser show a study as it was, and a trial of it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deployment import missing, need
from test_mlflow_server import STUDY, Server, runs, store, track, tracker_at

mlflow = pytest.importorskip("mlflow")
# Of MLflow's two distributions only the large one has pages; it lies beside the environment's, for one server alone.
WITH_PAGES = Path(sys.prefix) / "share" / "mlflow"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),
]
__all__ = ["store"]  # a fixture


@pytest.fixture
def page() -> Iterator[Any]:
    need("chromium", "chromium")
    if not (WITH_PAGES / "mlflow" / "server" / "js" / "build" / "index.html").is_file():
        missing(
            "MLflow with its pages", f"mlflow=={mlflow.__version__}, by pip install --no-deps --target {WITH_PAGES}"
        )
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        words = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=words)
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        page.set_default_timeout(240_000)
        yield page
        browser.close()


def test_page_of_a_run_shows_the_study(page: Any, store: Path, tmp_path: Path) -> None:
    shutil.copyfile(store, tmp_path / "mlflow.db")
    server = Server(tmp_path, PYTHONPATH=str(WITH_PAGES))
    server.start()
    try:
        tracker = tracker_at(server.uri, tmp_path, offline=True)
        track(tracker)
        assert tracker.flush() == (5, 0)
        (parent,) = runs(tracker, f"tags.`automl.study` = '{STUDY.id}'")
        page.goto(f"{server.uri}/#/experiments/{parent.info.experiment_id}/runs/{parent.info.run_id}")
        page.get_by_text(parent.info.run_name).first.wait_for()
        page.get_by_text("best_loss").first.wait_for()
        page.get_by_text("0.3333").first.wait_for()
        page.get_by_text("roc_auc").first.wait_for()
        page.screenshot(path=tmp_path / "run.png")
        page.get_by_role("link", name="1 linear").first.click()
        page.get_by_role("heading", name="1 linear").wait_for()
        page.get_by_text("automl.state: complete").first.wait_for()
        page.get_by_role("row", name="loss 0.5").wait_for()
        page.get_by_role("row", name="c 1").wait_for()
        page.screenshot(path=tmp_path / "trial.png")
    finally:
        server.stop()
