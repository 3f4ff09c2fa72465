"""What is saved is loaded, and what is hostile is refused: always by DataError, never by running code."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl import load_model
from automl.artifact import read_manifest
from automl.artifact.arrays import ArrayReader, ArrayWriter
from automl.artifact.container import pack
from automl.artifact.flats import MAGIC, STORED, dump_flat, flat_to_json, load_flat
from automl.artifact.load import parse_model
from automl.artifact.save import dump_model
from automl.predictor.compiled import COMPILED
from automl_core import DataError
from automl_core.testing.flat import evaluate

RELEASED = Path(__file__).with_name("data")


@pytest.fixture(scope="module")
def whole() -> bytes:
    """The bytes of a small model's file."""
    return (RELEASED / "format-1.automl").read_bytes()


# ---- there and back


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_loaded_model_predicts_the_same(make_model, make_table, tmp_path, kind) -> None:
    model, table = make_model(kind), make_table()
    model.save(tmp_path / "production_model.pkl")
    again = load_model(tmp_path / "production_model.pkl")
    np.testing.assert_array_equal(again.predict(table), model.predict(table))
    np.testing.assert_array_equal(again.predict_contributions(table), model.predict_contributions(table))
    if kind != "regression":
        np.testing.assert_array_equal(again.predict_proba(table), model.predict_proba(table))


def test_loaded_model_knows_what_it_is(make_model, tmp_path) -> None:
    model = make_model("multiclass", threshold=0.3)
    model.save(tmp_path / "m.automl")
    again = load_model(tmp_path / "m.automl")
    for name in ("task", "target", "metric", "threshold", "schema", "names"):
        assert getattr(again, name) == getattr(model, name)
    assert again.classes_.tolist() == [1, 2, 5]
    assert again.feature_importance() == model.feature_importance()
    assert again.leaderboard()[0] == {"rank": 0, "name": "ensemble", "score": 0.5, "loss": None}
    assert again.info["rows"] == 200
    assert again.info["versions"]["numpy"] == np.__version__


@pytest.mark.parametrize("labels", [["a", "b"], [0, 1], [False, True], [0.0, 1.0], ["a", 1]])
def test_labels_keep_their_type_in_the_file(make_model, tmp_path, labels) -> None:
    make_model(classes=labels).save(tmp_path / "m.automl")
    again = load_model(tmp_path / "m.automl").classes_.tolist()
    assert [(type(label), label) for label in again] == [(type(label), label) for label in labels]


def test_saving_a_loaded_model_changes_nothing(make_model, make_table, tmp_path) -> None:
    make_model().save(tmp_path / "a.automl")
    load_model(tmp_path / "a.automl").save(tmp_path / "b.automl")
    first, second = read_manifest(tmp_path / "a.automl"), read_manifest(tmp_path / "b.automl")
    assert first["members"] == second["members"]
    assert first["parts"] == second["parts"]


def test_equal_arrays_are_stored_once(make_model) -> None:
    model = make_model()
    part = model.predictor.parts[0]
    doubled = (
        type(model.predictor)([part, part, *model.predictor.parts[1:]][:2], classes=2) if part.weight == 0.5 else None
    )
    assert doubled is not None
    alone = len(dump_model(make_model()))
    model.predictor = doubled
    assert len(dump_model(model)) < alone


@pytest.mark.parametrize(
    "arguments", [{}, {"oblivious": True, "leaves": 16}, {"outputs": 3, "width": 3, "link": "probability"}]
)
def test_forest_survives_its_bytes(make_forest, make_rows, rng, arguments) -> None:
    forest, values = make_forest(rng, **arguments), make_rows(rng, 200, 6)
    np.testing.assert_array_equal(evaluate(load_flat(dump_flat(forest)), values), evaluate(forest, values))


@pytest.mark.skipif(not COMPILED, reason="the kernel is not built")
@pytest.mark.parametrize("changes", [{}, {"cover": None, "gain": None}])
@pytest.mark.parametrize("arguments", [{}, {"sets": False}, {"leaves": 300}, {"leaves": 1}])
def test_numpy_reads_a_forest_as_the_kernel_does(make_forest, rng, monkeypatch, arguments, changes) -> None:
    data = dump_flat(replace(make_forest(rng, **arguments), **changes))
    by_kernel = load_flat(data)
    monkeypatch.setattr("automl.artifact.flats.kernel", None)
    by_numpy = load_flat(data)
    for field in fields(by_kernel):
        one, other = getattr(by_kernel, field.name), getattr(by_numpy, field.name)
        if isinstance(one, np.ndarray):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
        elif field.name != "derived":
            assert one == other


@pytest.mark.parametrize(
    "compiled", [pytest.param(True, marks=pytest.mark.skipif(not COMPILED, reason="the kernel is not built")), False]
)
@pytest.mark.parametrize("name", STORED)
def test_forest_without_the_end_of_an_array_is_refused(make_forest, rng, monkeypatch, name, compiled) -> None:
    if not compiled:
        monkeypatch.setattr("automl.artifact.flats.kernel", None)
    writer = ArrayWriter()
    body = flat_to_json(make_forest(rng), writer)
    whole = ArrayReader(writer.table, writer.data()).get(body["arrays"][name])
    body["arrays"][name] = writer.add(whole[:-1])
    head = json.dumps({"flat": body, "arrays": writer.table}).encode()
    with pytest.raises(DataError):
        load_flat(MAGIC + struct.pack("<Q", len(head)) + head + writer.data())


@pytest.mark.parametrize("distance", [-1, 0, 2**31 - 1, 2**31, 2**40])
def test_child_at_an_impossible_distance_is_refused(make_forest, rng, distance) -> None:
    forest, writer = make_forest(rng), ArrayWriter()
    body = flat_to_json(forest, writer)
    body["arrays"]["delta"] = writer.add(np.full(np.count_nonzero(forest.feature >= 0), distance))
    head = json.dumps({"flat": body, "arrays": writer.table}).encode()
    with pytest.raises(DataError):
        load_flat(MAGIC + struct.pack("<Q", len(head)) + head + writer.data())


def test_additive_model_survives_its_bytes(make_additive, make_rows, rng) -> None:
    additive, values = make_additive(rng, outputs=3, link="softmax"), make_rows(rng, 200, 6)
    np.testing.assert_array_equal(evaluate(load_flat(dump_flat(additive)), values), evaluate(additive, values))


@pytest.mark.parametrize(
    "data", [b"", b"nonsense", b"AFLT1\0\0\0" + b"\xff" * 8, b"AFLT1\0\0\0" + struct.pack("<Q", 2) + b"{}"]
)
def test_bytes_that_are_no_flat_model_are_refused(data) -> None:
    with pytest.raises(DataError, match="no flat model"):
        load_flat(data)


def test_file_of_format_1_still_loads() -> None:
    """The file was written by version 0.1.0, with these predictions."""
    model = load_model(RELEASED / "format-1.automl")
    told = json.loads((RELEASED / "format-1.json").read_text())
    assert model.info["format"] == 1
    np.testing.assert_allclose(model.predict_proba(told["rows"]), told["probabilities"], rtol=1e-12)
    assert model.predict(told["rows"]).tolist() == told["labels"]


# ---- places


def test_failed_write_leaves_the_old_file(make_model, tmp_path, monkeypatch) -> None:
    path = tmp_path / "m.automl"
    make_model().save(path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left"):
        make_model("regression").save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["m.automl"]


def test_new_file_is_as_readable_as_any(make_model, tmp_path) -> None:
    (tmp_path / "other").write_text("")
    make_model().save(tmp_path / "m.automl")
    assert (tmp_path / "m.automl").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_missing_folder_is_told(make_model, tmp_path) -> None:
    with pytest.raises(DataError, match="cannot be written to"):
        make_model().save(tmp_path / "nowhere" / "m.automl")


def test_missing_file_is_told(tmp_path) -> None:
    with pytest.raises(DataError, match="there is no model at"):
        load_model(tmp_path / "m.automl")


def test_folder_is_no_model(tmp_path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        load_model(tmp_path)


def test_uri_goes_through_fsspec(make_model, make_table) -> None:
    pytest.importorskip("fsspec")
    model = make_model()
    model.save("memory://models/m.automl")
    np.testing.assert_array_equal(
        load_model("memory://models/m.automl").predict(make_table()), model.predict(make_table())
    )


def test_unknown_scheme_is_told() -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(DataError, match="nosuchscheme"):
        load_model("nosuchscheme://m.automl")


# ---- trust


@pytest.mark.parametrize("key", [b"right", None])
def test_signed_file_loads_with_its_key_or_none(make_model, tmp_path, key) -> None:
    make_model().save(tmp_path / "m.automl", key=b"right")
    assert load_model(tmp_path / "m.automl", key=key).task == "binary"


@pytest.mark.parametrize(("signed", "message"), [(b"wrong", "another key"), (None, "is not signed")])
def test_file_without_the_right_signature_is_refused(make_model, tmp_path, signed, message) -> None:
    make_model().save(tmp_path / "m.automl", key=signed)
    with pytest.raises(DataError, match=message):
        load_model(tmp_path / "m.automl", key=b"right")


def test_pickled_member_needs_consent(make_model, make_table, tmp_path) -> None:
    model = make_model("opaque")
    model.save(tmp_path / "m.automl")
    with pytest.raises(DataError, match="allow_pickle=True"):
        load_model(tmp_path / "m.automl")
    again = load_model(tmp_path / "m.automl", allow_pickle=True)
    np.testing.assert_array_equal(again.predict(make_table()), model.predict(make_table()))


def test_portable_member_needs_no_consent(make_model, make_table, tmp_path) -> None:
    neighbors = pytest.importorskip("automl_sklearn.neighbors")
    from automl.predictor import Opaque, Predictor
    from automl_core import Data, Job

    model = make_model("regression")
    encoded = model.encoder.encode(make_table())
    data = Data(encoded, model.encoder.columns, np.arange(200.0))
    learner = neighbors.KNearestNeighbors()
    fitted = learner.fit(Job(data, np.arange(200), None, "regression", 0, {}))
    keep = np.arange(len(model.encoder.columns), dtype=np.int32)
    member = Opaque("sklearn.k_nearest_neighbors", learner, fitted, keep, (), 1.0)
    model.predictor = Predictor([], [member], columns=len(keep))
    model.save(tmp_path / "m.automl")
    again = load_model(tmp_path / "m.automl")
    np.testing.assert_allclose(again.predict(make_table()), model.predict(make_table()))


def test_member_that_cannot_be_stored_is_named(make_model, tmp_path) -> None:
    from automl.predictor import Opaque, Predictor

    model = make_model("regression")
    keep = np.arange(len(model.encoder.columns), dtype=np.int32)
    unnamed = type("Unnamed", (), {"rounds": None, "predict": lambda self, values: np.zeros(len(values))})()
    model.predictor = Predictor([], [Opaque("mine", None, unnamed, keep, (), 1.0)], columns=len(keep))
    with pytest.raises(DataError, match="learner 'mine' cannot be stored"):
        model.save(tmp_path / "m.automl")
    assert not list(tmp_path.iterdir())


class Bomb:
    def __reduce__(self):
        return os.mkdir, (os.environ["BOMB"],)


def test_pickle_is_refused_and_not_run(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("BOMB", str(tmp_path / "exploded"))
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DataError, match="is a pickle"):
        load_model(tmp_path / "m.pkl")
    assert not (tmp_path / "exploded").exists()


def test_trusted_pickle_of_a_model_loads(make_model, make_table, tmp_path) -> None:
    model = make_model()
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(model))
    again = load_model(tmp_path / "m.pkl", allow_pickle=True)
    np.testing.assert_array_equal(again.predict(make_table()), model.predict(make_table()))


def test_trusted_pickle_of_something_else_is_refused(tmp_path) -> None:
    (tmp_path / "m.pkl").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(DataError, match="holds a dict"):
        load_model(tmp_path / "m.pkl", allow_pickle=True)


# ---- hostile files


def rewrite(whole: bytes, change) -> bytes:
    """Change the manifest and write the file again, with right checksums."""
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        members = {
            name: archive.read(name) for name in archive.namelist() if name not in ("manifest.json", "signature")
        }
    manifest = change(manifest) or manifest
    return pack(manifest, members)


def zipped(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data, method)
    return buffer.getvalue()


def refused(data: bytes, message: str | None = None, **arguments) -> None:
    with pytest.raises(DataError, match=message):
        parse_model(data, "the file", **arguments)


def test_newer_format_says_so(whole) -> None:
    refused(rewrite(whole, lambda m: m.update(format=2)), "format 2, newer than the 1.*upgrade automl-sdk")


def test_other_zip_says_so(whole) -> None:
    refused(rewrite(whole, lambda m: m.update(producer="other")), "was not written by automl")
    refused(zipped({"word/document.xml": b""}), "unexpected name")


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "members/../../evil", "C:\\evil", "members/1/2"])
def test_strange_names_are_refused(name) -> None:
    refused(zipped({"manifest.json": b"{}", name: b""}), "unexpected name|no model file")


def test_member_that_appears_twice_is_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("manifest.json", b"{}")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("manifest.json", b"{}")
    refused(buffer.getvalue(), "appears twice")


def test_zip_bomb_is_refused_before_it_is_read() -> None:
    refused(zipped({"manifest.json": b"{}", "arrays.bin": bytes(50 << 20)}), "would grow")


def test_large_model_needs_a_greater_limit(whole) -> None:
    refused(whole, "more than the 1,000 allowed", max_bytes=1000)


def test_member_larger_than_declared_is_refused(whole) -> None:
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        size = archive.getinfo("arrays.bin").file_size
    # The size stands in the local header and in the directory.
    refused(whole.replace(struct.pack("<I", size), struct.pack("<I", size - 64)))


def test_unknown_compression_is_refused() -> None:
    refused(zipped({"manifest.json": b"{}"}, zipfile.ZIP_LZMA), "unknown way")


def test_wrong_checksum_is_refused(whole) -> None:
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    entries["arrays.bin"] = entries["arrays.bin"][:-1] + b"x"
    refused(zipped(entries), "another checksum")


def test_missing_member_is_refused(whole) -> None:
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        refused(zipped({"manifest.json": archive.read("manifest.json")}), "not those that the manifest names")


@pytest.mark.parametrize("head", [b"[" * 100_000, b"nonsense", b"[]", b"\xff\xfe"])
def test_manifest_that_is_no_object_is_refused(head) -> None:
    refused(zipped({"manifest.json": head}), "its manifest is no JSON")


def set_table(index: int, value):
    def change(manifest):
        manifest["arrays"][manifest["parts"][0]["arrays"]["threshold"]][index] = value

    return change


CHANGES = {
    "dtype of objects": set_table(0, "|O"),
    "unknown dtype": set_table(0, "<f2"),
    "dtype of another kind": set_table(0, "<f8"),
    "negative offset": set_table(2, -64),
    "offset beyond the end": set_table(2, 1 << 40),
    "offset no number": set_table(2, "0"),
    "huge shape": set_table(1, [1 << 39, 1 << 39]),
    "negative shape": set_table(1, [-1]),
    "shape of another size": set_table(1, [1]),
    "no table": lambda m: m.update(arrays=[]),
    "weights": lambda m: m["parts"][0].update(weight=7.0),
    "weight no number": lambda m: m["parts"][0].update(weight="x"),
    "scale": lambda m: m["parts"][0].update(scale=None),
    "link": lambda m: m["parts"][0].update(link="eval"),
    "kind": lambda m: m["parts"][0].update(kind="Network"),
    "columns of a part": lambda m: m["parts"][0].update(columns=99),
    "columns": lambda m: m.update(columns=99),
    "columns huge": lambda m: m["parts"][0].update(columns=1 << 62),
    "no parts": lambda m: m.update(parts=[]),
    "derived": lambda m: m["parts"][0].update(derived=[{"operator": "+", "left": 0, "right": 1 << 40}]),
    "operator": lambda m: m["parts"][0].update(derived=[{"operator": "__import__", "left": 0, "right": 1}]),
    "arrays swapped": lambda m: m["parts"][0]["arrays"].update(delta=m["parts"][0]["arrays"]["base"]),
    "array number": lambda m: m["parts"][0]["arrays"].update(delta=True),
    "classes": lambda m: m.update(classes=[{}, []]),
    "too many classes": lambda m: m.update(classes=["a", "b", "c"]),
    "task": lambda m: m.update(task="regression"),
    "temperature": lambda m: m.update(temperature=0),
    "threshold": lambda m: m.update(threshold=3),
    "encoder": lambda m: m.update(encoder={"state": {}, "arrays": {}}),
    "schema": lambda m: m.update(schema={"columns": 3}),
    "leaderboard": lambda m: m.update(leaderboard=3),
    "importance": lambda m: m.update(importance={"a": "b"}),
    "opaque": lambda m: m.update(opaque=[{"member": "members/0"}]),
    "empty": lambda m: {"producer": "automl", "format": 1},
}


@pytest.mark.parametrize("change", CHANGES)
def test_contradiction_is_refused(whole, change) -> None:
    refused(rewrite(whole, CHANGES[change]))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_flipped_bits_never_do_harm(data) -> None:
    whole = (RELEASED / "format-1.automl").read_bytes()
    changed = bytearray(whole)
    for place in data.draw(st.lists(st.integers(0, 8 * len(whole) - 1), min_size=1, max_size=3)):
        changed[place // 8] ^= 1 << place % 8
    load_or_refuse(bytes(changed))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_cut_file_is_refused(data) -> None:
    whole = (RELEASED / "format-1.automl").read_bytes()
    refused(whole[: data.draw(st.integers(0, len(whole) - 1))])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_altered_arrays_with_right_checksums_never_do_harm(data) -> None:
    """A file made to deceive: what loads must also predict without a crash."""
    whole = (RELEASED / "format-1.automl").read_bytes()
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        manifest, arrays = json.loads(archive.read("manifest.json")), bytearray(archive.read("arrays.bin"))
    for place in data.draw(st.lists(st.integers(0, len(arrays) - 1), min_size=1, max_size=4)):
        arrays[place] = data.draw(st.integers(0, 255))
    load_or_refuse(pack(manifest, {"arrays.bin": bytes(arrays)}))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_noise_is_refused(data) -> None:
    refused(data)


def load_or_refuse(data: bytes) -> None:
    rows = json.loads((RELEASED / "format-1.json").read_text())["rows"]
    try:
        model = parse_model(data, "the file")
    except DataError:
        return
    with np.errstate(all="ignore"):
        model.predict_proba(rows)
        model.predict_contributions(rows)
