"""The drawings of a model's page as files of their own."""

from __future__ import annotations

from pathlib import Path

from automl_mlflow.report import write_drawings

PAGE = """<figure role="group"><figcaption>ROC curve for &lt;a&gt;</figcaption><svg width="1"><text>\u00e4</text></svg></figure>
<p>text</p><figure role="group"><figcaption>Gr\u00f6\u00dfe</figcaption>
<svg width="2"></svg></figure>"""


def test_drawings_are_files_named_by_their_captions(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(PAGE, encoding="utf-8")
    write_drawings(tmp_path / "report.html", tmp_path / "plots")
    found = {file.name: file.read_text(encoding="utf-8") for file in (tmp_path / "plots").iterdir()}
    assert found == {
        "01-roc-curve-for-a.svg": '<svg width="1"><text>\u00e4</text></svg>',
        "02-gr-e.svg": '<svg width="2"></svg>',
    }


def test_page_without_drawings_has_no_files(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("<p>text</p>", encoding="utf-8")
    write_drawings(tmp_path / "report.html", tmp_path / "plots")
    assert list((tmp_path / "plots").iterdir()) == []
