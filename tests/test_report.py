"""A page about a model says what is true, lets nothing in from outside, and fits a desk and a phone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.datasets import load_diabetes, load_iris

from automl import AutoML, load_model
from automl.artifact.save import dump_model
from automl.cli.app import cli
from automl.report.evidence import MAX_CELLS, MAX_ROWS, MIN_ROWS, Evidence, sample_rows
from automl.report.judged import HELD_OUT, OUT_OF_FOLD, judge, known_metric
from automl.report.page import render_report
from automl.report.quality import doubts
from automl_core import ComponentUnavailable, DataError
from automl_core.settings import load_settings

HOSTILE = "<script>alert(1)</script> $x_1$ & 'y'"


def make_clients(rows: int, seed: int) -> pd.DataFrame:
    """Two of five columns tell the target, one in no straight line; groups differ in how often it is true."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "useful": rng.normal(size=rows).round(3),
            "noise": rng.normal(size=rows),
            "group": rng.choice(["north", "south"], rows, p=[0.6, 0.4]),
            "day": pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 300, rows), unit="D"),
            HOSTILE: rng.choice(["<b>a</b>", "b", "c"], rows),
        }
    )
    score = 2 * table["useful"].abs() + 1.5 * (table["group"] == "north") + rng.normal(size=rows)
    return table.assign(answer=np.where(score > 2.5, "<i>yes</i>", "no"))


def fit(data: pd.DataFrame, target: str, folder: Path) -> AutoML:
    settings = load_settings(
        executor="serial", storage="memory", trackers=(), learners=("sklearn.linear", "lightgbm"),
        directory=str(folder),
    )  # fmt: skip
    return AutoML(max_trials=2, time_limit=None, folds=2, n_jobs=1, settings=settings).fit(data, target=target)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def clients() -> pd.DataFrame:
    return make_clients(600, 0)


@pytest.fixture(scope="module")
def later() -> pd.DataFrame:
    return make_clients(400, 1)


@pytest.fixture(scope="module")
def binary(clients: pd.DataFrame, folder: Path) -> AutoML:
    return fit(clients, "answer", folder)


@pytest.fixture(scope="module")
def page(binary: AutoML, later: pd.DataFrame, folder: Path) -> str:
    """The page about a binary model, with held-out rows and groups."""
    binary.report(folder / "report.html", data=later, groups=["group"])
    return (folder / "report.html").read_text(encoding="utf-8")


class Text(HTMLParser):
    """Collects tags, and text by the tag around it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("style", "script"):
            return
        self.text += f"{data} "
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data

    def row(self, first: str) -> list[str]:
        return next(row for row in self.rows if row and row[0] == first)


# ---- the page


def test_page_lets_nothing_in_from_outside(page: str) -> None:
    parsed = Text(page)
    assert not [tag for tag, _ in parsed.tags if tag in ("script", "link", "iframe", "img", "object", "base")]
    places = [
        value or ""
        for _, attrs in parsed.tags
        for name, value in attrs.items()
        if name in ("src", "href", "xlink:href")
    ]
    assert places
    assert [place for place in places if not place.startswith(("#", "data:"))] == []
    assert not re.search(r"url\((?!#|['\"]?#)|@import", page)


def test_names_from_the_data_are_text(page: str) -> None:
    parsed = Text(page)
    assert "<script>" not in page
    assert HOSTILE in parsed.text
    assert not [tag for tag, _ in parsed.tags if tag == "i"]


@pytest.mark.parametrize(
    "title",
    ["How good it is", "What was tried", "What it relies on", "Data", "Where it is wrong", "Fairness", "Cost", "Fit it again"],
)  # fmt: skip
def test_page_has_the_section(page: str, title: str) -> None:
    assert re.search(rf"<h2 id=\"[a-z-]+\">{title}</h2>", page)


@pytest.mark.parametrize(
    "caption",
    ["Confusion, held out", "ROC curve for", "Precision and recall for", "Calibration", "Importance", "out of fold over the seconds",
     "probability of no by useful", "lightgbm#"],
)  # fmt: skip
def test_page_draws(page: str, caption: str) -> None:
    figure = next(part for part in page.split("<figure")[1:] if caption in part.partition("</figcaption>")[0])
    drawn = figure.partition("</figcaption>")[2].partition("</figure>")[0]
    assert drawn.startswith("<svg")
    assert len(re.findall(r"<path|<use|<rect", drawn)) > 5


def test_names_within_drawings_are_unique(page: str) -> None:
    names = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    own = [set(re.findall(r' id="([^"]+)"', svg)) for svg in names]
    assert len(names) > 8
    shared = {name for i, left in enumerate(own) for right in own[i + 1 :] for name in left & right}
    # matplotlib names clip paths and markers by what they are: equal names are equal things.
    texts = {
        name: {re.search(rf'id="{name}".*?/>', svg, re.DOTALL).group() for svg in names if f'id="{name}"' in svg}
        for name in shared
    }
    assert [name for name, found in texts.items() if len(found) > 1] == []


def test_held_out_score_is_the_models(page: str, binary: AutoML, later: pd.DataFrame) -> None:
    told = Text(page).row("roc_auc")
    assert float(told[2].split()[0]) == pytest.approx(binary.score(later), abs=5e-5)
    assert float(told[1].split()[0]) == pytest.approx(binary.model_.info["scores"]["out_of_fold"], abs=5e-4)


def test_interval_holds_the_score_and_narrows_with_rows(binary: AutoML, later: pd.DataFrame) -> None:
    metric = known_metric(binary.model_)
    many, few = (judge(binary.model_, rows)[-1].score(metric) for rows in (later, later[:100]))
    assert many.low < many.value < many.high
    assert many.high - many.low < few.high - few.low


def test_interval_of_many_rows_is_that_of_all_of_them(binary: AutoML, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = judge(binary.model_)[0]
    whole = rows.score(known_metric(binary.model_), np.ones(len(rows), bool))
    monkeypatch.setattr("automl.report.judged.MAX_ROWS", 200)
    few = rows.score(known_metric(binary.model_), np.ones(len(rows), bool))
    assert few.value == whole.value
    assert 0.6 < (few.high - few.low) / (whole.high - whole.low) < 1.6
    assert len(rows.sample()) == 200


def test_what_matters_comes_first(page: str) -> None:
    figure = page[page.index("Importance: rise") :]
    names = re.findall(r">(useful|noise|group)</text>", figure[: figure.index("</svg>")])
    assert names.index("useful") > names.index("group") > names.index("noise")  # drawn from below


def test_groups_are_compared(page: str, binary: AutoML, later: pd.DataFrame) -> None:
    told = Text(page).row("north")
    north = later[later["group"] == "north"]
    assert int(told[1]) == len(north)
    assert float(told[3]) == pytest.approx((binary.predict(north) == "no").mean(), abs=5e-4)
    assert "a rule of thumb asks for 0.8" in page


def test_worst_rows_are_those_of_the_table(page: str, binary: AutoML, later: pd.DataFrame) -> None:
    head = next(row for row in Text(page).rows if row[:2] == ["row", "truth"])
    first = Text(page).rows[Text(page).rows.index(head) + 1]
    row = later.iloc[int(first[0])]
    assert first[1] == row["answer"]
    assert first[head.index("useful")] == f"{row['useful']:g}"
    truth = binary.classes_.tolist().index(row["answer"])
    assert first[3] == f"{binary.predict_proba(row.to_dict())[0, truth]:.1%}"


def test_page_tells_how_to_fit_again(page: str, binary: AutoML) -> None:
    call = f"AutoML(seed=0, quality='{binary.quality}', max_trials=2, folds=2).fit(data, target='answer')"
    assert call in Text(page).text


@pytest.mark.parametrize("name", ["regression", "multiclass"])
def test_other_tasks_have_a_page(name: str, folder: Path) -> None:
    table = (load_diabetes if name == "regression" else load_iris)(as_frame=True).frame
    train, held_out = table[::2], table[1::2]
    model = fit(train, "target", folder)
    model.report(folder / f"{name}.html", data=held_out)
    page = Text((folder / f"{name}.html").read_text())
    metric = {"regression": "rmse", "multiclass": "log_loss"}[name]
    told = page.row(metric)
    assert float(told[2].split()[0]) == pytest.approx(model.score(held_out), rel=1e-3)
    captions = {"regression": "Truth less prediction", "multiclass": "ROC curve of each class"}
    assert captions[name] in page.text


# ---- which rows judge


def test_training_table_is_judged_out_of_fold(binary: AutoML, clients: pd.DataFrame) -> None:
    (judged,) = judge(binary.model_, clients)
    assert judged.name == OUT_OF_FOLD
    assert judged.table.column("useful").to_pylist() == clients["useful"].tolist()


def test_rows_with_the_same_targets_are_not_taken_for_the_training_table(folder: Path) -> None:
    table = load_iris(as_frame=True).frame
    train, held_out = table[::2], table[1::2]
    assert train["target"].tolist() == held_out["target"].tolist()
    assert [part.name for part in judge(fit(train, "target", folder).model_, held_out)] == [OUT_OF_FOLD, HELD_OUT]


def test_rows_without_a_target_are_left_out(binary: AutoML, later: pd.DataFrame) -> None:
    table = later.assign(answer=later["answer"].where(later.index % 2 == 0, None))
    assert len(judge(binary.model_, table)[-1]) == 200


def test_data_without_the_target_is_refused(binary: AutoML, later: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="no column 'answer'"):
        binary.model_.report("never.html", data=later.drop(columns="answer"))


@pytest.mark.parametrize(
    ("groups", "given", "message"),
    [(["grop"], True, "Did you mean 'group'"), (["group"], False, "groups need rows"), ("group", True, r"\['group'\]")],
)
def test_wrong_groups_are_refused(binary: AutoML, later: pd.DataFrame, groups, given: bool, message: str) -> None:
    with pytest.raises(DataError, match=message):
        render_report(binary.model_, data=later if given else None, groups=groups)


# ---- doubts


def test_a_column_that_tells_the_target_is_warned_of(clients: pd.DataFrame, folder: Path) -> None:
    leaky = clients.assign(told=(clients["answer"] == "no").astype(int) + np.random.default_rng(0).normal(0, 0.05, 600))
    page = render_report(fit(leaky, "answer", folder).model_)
    assert "tells the target almost alone" in page[page.index("Before you trust the score") :]


def test_held_out_rows_that_are_worse_than_chance_explains_are_warned_of(binary: AutoML, later: pd.DataFrame) -> None:
    wrong = later.assign(answer=np.random.default_rng(0).permutation(later["answer"]))
    told = doubts(binary.model_, judge(binary.model_, wrong))
    assert "held-out rows score worse than chance explains" in told[-1]


def test_training_rows_among_the_held_out_ones_are_warned_of(binary: AutoML, clients, later) -> None:
    mixed = pd.concat([clients[::2], later], ignore_index=True)
    told = [
        line for line in doubts(binary.model_, judge(binary.model_, mixed)) if "equal row among those given" in line
    ]
    assert told
    assert told[0].startswith("50%")


def test_nothing_is_warned_of_where_all_is_well(page: str) -> None:
    assert "Before you trust the score" not in page


# ---- files


def test_saved_model_has_a_page_without_rows(binary: AutoML, folder: Path) -> None:
    binary.save(folder / "model.automl")
    model = load_model(folder / "model.automl")
    page = Text(render_report(model))
    assert float(page.row("roc_auc")[1].split()[0]) == pytest.approx(model.info["scores"]["out_of_fold"], abs=5e-4)
    assert "give the training table" in page.text


def test_evidence_goes_through_the_file(binary: AutoML, folder: Path) -> None:
    binary.save(folder / "model.automl")
    told, again = binary.model_.evidence, load_model(folder / "model.automl").evidence
    for name in ("rows", "target", "prediction", "marks"):
        np.testing.assert_array_equal(getattr(again, name), getattr(told, name))


def test_file_holds_no_row_of_the_table(binary: AutoML, clients: pd.DataFrame) -> None:
    data = dump_model(binary.model_)
    values = clients["noise"].to_numpy(dtype=np.float32)
    stored = np.concatenate([getattr(binary.model_.evidence, name).ravel() for name in ("target", "prediction")])
    assert len(data) > 0
    assert np.isin(values, stored).sum() == 0


@pytest.mark.parametrize(("count", "classes"), [(10, 0), (100_000, 0), (100_000, 2), (100_000, 100), (100_000, 1000)])
def test_evidence_is_bounded(count: int, classes: int) -> None:
    rows = sample_rows(count, classes=classes, seed=0)
    assert len(rows) == min(count, min(MAX_ROWS, max(MIN_ROWS, MAX_CELLS // max(classes, 1))))
    assert len(np.unique(rows)) == len(rows)
    assert rows.max() < count


def test_model_of_an_older_file_has_a_page() -> None:
    old = Path(__file__).parents[1] / "sdk/tests/inference/data/format-1.automl"
    page = render_report(load_model(old))
    assert "holds no out-of-fold predictions" in page


def test_missing_library_is_named(binary: AutoML, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ComponentUnavailable, match=r"needs jinja2.*automl-sdk\[report\]"):
        render_report(binary.model_)


def test_command_writes_the_page(binary: AutoML, clients: pd.DataFrame, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    binary.save("model.automl")
    clients.to_csv("train.csv", index=False)
    words = ["report", "model.automl", "--data", "train.csv", "--group", "group"]
    done = CliRunner().invoke(cli, words, prog_name="automl")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("wrote report.html (")
    # A CSV file has the same values, so it is known for the training table.
    assert "Rows out of fold, by group" in Path("report.html").read_text()


@pytest.mark.parametrize("broken", ["rows", "target", "prediction", "marks"])
def test_damaged_evidence_is_refused(binary: AutoML, broken: str, folder: Path) -> None:
    told = binary.model_.evidence
    cut = {name: getattr(told, name) for name in ("rows", "target", "prediction", "marks")} | {
        broken: getattr(told, broken)[1:]
    }
    model = save_with(binary, Evidence(**cut), folder / "damaged.automl")
    with pytest.raises(DataError, match="do not fit together"):
        load_model(model)


def save_with(engine: AutoML, evidence: Evidence, path: Path) -> Path:
    """Save the engine's model with other evidence."""
    model = engine.model_
    before, model.evidence = model.evidence, evidence
    try:
        model.save(path)
    finally:
        model.evidence = before
    return path


# ---- notebooks


def test_notebook_shows_model_and_leaderboard(binary: AutoML) -> None:
    shown = binary._repr_html_()
    assert shown == binary.model_._repr_html_()
    assert "roc_auc" in shown
    assert "lightgbm#" in shown
    assert "<script>" not in shown


def test_notebook_shows_an_engine_without_a_model() -> None:
    assert "AutoML object" in AutoML()._repr_html_()


# ---- in a browser


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail("chromium is not installed: .ci/services.sh installs it")
        pytest.skip("chromium is not installed")
    return found


def browse(chromium: str, folder: Path, *words: str) -> str:
    command = [
        chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        f"--user-data-dir={folder / 'profile'}", "--allow-file-access-from-files", *words,
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


MEASURE = """<body style="margin:0"><iframe id="page" src="report.html" width="{width}" height="900" style="border:0"></iframe>
<pre id="told"></pre><script>
document.getElementById("page").onload = (event) => {{
  const view = event.target.contentWindow, root = view.document.documentElement;
  const small = [...view.document.querySelectorAll("figure svg")].map((svg) => svg.getBoundingClientRect().width);
  document.getElementById("told").textContent = ["TOLD", root.scrollWidth, view.innerWidth, Math.min(...small)].join(" ");
}};
</script>"""


@pytest.mark.parametrize("width", [390, 1280])
def test_page_is_as_wide_as_the_screen(page: str, chromium: str, folder: Path, width: int) -> None:
    (folder / "measure.html").write_text(MEASURE.format(width=width))
    told = browse(chromium, folder, "--dump-dom", "--virtual-time-budget=10000", f"file://{folder}/measure.html")
    found = re.search(r"TOLD (\d+) (\d+) ([\d.]+)", told)
    assert found, told[:500]
    assert int(found.group(2)) == width
    assert int(found.group(1)) <= width
    assert float(found.group(3)) > 280  # drawings stay legible


def test_page_prints(page: str, chromium: str, folder: Path) -> None:
    browse(chromium, folder, f"--print-to-pdf={folder / 'report.pdf'}", f"file://{folder}/report.html")
    printed = (folder / "report.pdf").read_bytes()
    assert printed.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 14
