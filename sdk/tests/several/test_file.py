"""One file for several targets: as safe as that of one, and refused where one model is needed."""

from __future__ import annotations

import pickle

import pytest

from automl import AutoML, MultiModel, load_model
from automl.artifact import load_model as load_one
from automl.artifact import read_manifest
from automl.artifact.container import pack, unpack
from automl_core import DataError

ROWS = {"size": [0.5, -1.0], "age": [1.0, 0.0]}


def test_a_loaded_file_predicts_the_same(fitted, saved):
    model = load_model(saved)
    assert isinstance(model, MultiModel)
    assert model.predict(ROWS).tolist() == fitted.predict(ROWS).tolist()
    assert model.info["format"] == 1


def test_saving_again_gives_the_same_bytes(fitted, saved, tmp_path):
    fitted.model_.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == saved.read_bytes()


def test_one_target_goes_into_an_ordinary_file(saved, tmp_path):
    load_model(saved).models["sold"].save(tmp_path / "sold.automl")
    assert load_one(tmp_path / "sold.automl").target == "sold"


def test_models_can_be_pickled(fitted):
    again = pickle.loads(pickle.dumps(fitted.model_))
    assert again.predict(ROWS).tolist() == fitted.predict(ROWS).tolist()


def test_a_key_signs_every_model(fitted, tmp_path):
    path = tmp_path / "signed.automl"
    fitted.model_.save(path, key=b"one")
    assert load_model(path, key=b"one").targets == fitted.model_.targets
    with pytest.raises(DataError, match="another key"):
        load_model(path, key=b"two")


@pytest.mark.parametrize("read", [load_one, read_manifest])
def test_what_needs_one_model_says_how_to_get_it(saved, read):
    with pytest.raises(DataError, match=r"several targets \(price, sold, rooms\).*\.models\[target\]"):
        read(saved)


def test_a_search_for_one_target_refuses_a_start_from_several(make_engine, table, saved):
    with pytest.raises(DataError, match=r"\.models\[target\]"):
        make_engine().fit(table, target="price", warm_start=load_model(saved))


@pytest.mark.parametrize(
    "targets", [[], {}, {"price": "members/7"}, {"sold": "members/0"}], ids=["list", "empty", "no member", "swapped"]
)
def test_a_file_whose_targets_are_not_its_members_is_damaged(saved, targets):
    manifest, members = unpack(saved.read_bytes(), "it")
    path = saved.with_name("damaged.automl")
    path.write_bytes(pack({**manifest, "targets": targets}, members))
    with pytest.raises(DataError, match="damaged"):
        load_model(path)


def test_a_cut_file_is_damaged(saved):
    path = saved.with_name("cut.automl")
    path.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(DataError, match="damaged"):
        load_model(path)


def test_a_report_is_a_page_for_each_target(fitted, saved, table, tmp_path):
    pages = load_model(saved).report(tmp_path / "report.html")
    assert pages == [str(tmp_path / f"report-{name}.html") for name in fitted.model_.targets]
    assert "'price', 'sold', 'rooms'" in (tmp_path / "report-sold.html").read_text().replace("&#x27;", "'").replace(
        "&#39;", "'"
    )


def test_a_notebook_shows_every_model(fitted: AutoML):
    assert all(f"Model of {name}" in fitted._repr_html_() for name in fitted.model_.targets)
