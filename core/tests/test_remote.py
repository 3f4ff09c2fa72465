"""What all storages in a cloud share, as far as it needs no cloud; the rest is tested by their plugins."""

from __future__ import annotations

import errno
import pickle
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_core import ComponentUnavailable, SettingsError
from automl_core.remote.client import Client, Cut
from automl_core.remote.formats import format_of, is_data
from automl_core.remote.names import object_name, original_name
from automl_core.remote.schemes import plugin_of
from automl_core.remote.trouble import Trouble, detail, diagnose
from automl_core.testing.storage import BAD_NAMES, ODD_NAMES


@pytest.mark.parametrize(
    ("word", "plugin"),
    [
        ("file", "file"),
        ("ray.actors", "ray"),
        ("s3://my.bucket/a.b", "s3"),
        ("S3A://bucket", "s3"),
        ("gs://bucket", "gcs"),
        ("abfss://c@a.dfs.core.windows.net/x", "azure"),
        ("mine://place", "mine"),
    ],
)
def test_word_selects_a_plugin(word: str, plugin: str) -> None:
    assert plugin_of(word) == plugin


@pytest.mark.parametrize("name", [*ODD_NAMES, ".", "./.a", "a.", "a=b%20*?[c]", "a\\b#c&d+e"])
def test_name_survives_any_client(name: str) -> None:
    escaped = object_name(name)
    assert original_name(escaped) == name
    assert set(escaped) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-~=/")
    assert all(part not in (".", "..") and not part.endswith(".") for part in escaped.split("/"))


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1), st.text(min_size=1))
def test_different_names_stay_different(one: str, two: str) -> None:
    names = [name for name in (one, two) if name.isprintable() and not {"", ".."} & set(name.split("/"))]
    assert len({object_name(name) for name in names}) == len(set(names))
    assert [original_name(object_name(name)) for name in names] == names


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no valid name"):
        object_name(name)


@pytest.mark.parametrize(
    ("path", "name"), [("a/b.CSV", "csv"), ("x.parquet", "parquet"), ("x.jsonl.gz", "json"), ("x.md", ""), ("csv", "")]
)
def test_format_is_told_by_the_name(path: str, name: str) -> None:
    assert format_of(path) == name


@pytest.mark.parametrize(
    ("path", "data"), [("year=1/a.csv", True), ("_delta/a.csv", False), ("a/.x.csv", False), ("a.crc", False)]
)
def test_hidden_files_are_no_data(path: str, data: bool) -> None:
    assert is_data(path) is data


class HttpError(Exception):
    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(text)
        self.status_code = status


class NoCredentialsError(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (FileNotFoundError("x"), Trouble.MISSING),
        (FileExistsError("x"), Trouble.EXISTS),
        (PermissionError("x"), Trouble.DENIED),
        (PermissionError("the token has expired"), Trouble.EXPIRED),
        (HttpError(404), Trouble.MISSING),
        (HttpError(412), Trouble.EXISTS),
        (HttpError(403), Trouble.DENIED),
        (HttpError(401, "Signature not valid in the specified time frame"), Trouble.EXPIRED),
        (HttpError(503), Trouble.BUSY),
        (HttpError(429), Trouble.BUSY),
        (NoCredentialsError("x"), Trouble.NO_CREDENTIALS),
        (ConnectionRefusedError("x"), Trouble.UNREACHABLE),
        (TimeoutError("x"), Trouble.UNREACHABLE),
        (OSError(errno.EBUSY, "x"), Trouble.BUSY),
        (OSError("Forbidden: x"), Trouble.DENIED),
        (ValueError("x"), Trouble.OTHER),
    ],
)
def test_error_is_diagnosed(error: Exception, trouble: Trouble) -> None:
    assert diagnose(error) is trouble


def test_cause_is_diagnosed_too() -> None:
    error = RuntimeError("wrapped")
    error.__cause__ = ConnectionResetError("x")
    assert diagnose(error) is Trouble.UNREACHABLE


def test_detail_is_one_line_without_secrets() -> None:
    error = HttpError(403, "no access to http://x/y?sv=1&sig=abc%2F&se=2 with key hunter22\nmore")
    said = detail(error, ["hunter22"])
    assert said == "no access to http://x/y?sv=1&sig=***&se=2 with key *** [403]"


class Moody:
    """A file system that fails as often as it is told."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    def read(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "content"


def ask(system: Moody, **options: object) -> str:
    client = Client(lambda: system, "s3://bucket", **options)  # type: ignore[arg-type]
    return client.ask("reading", "bucket/key", lambda fs: fs.read())


@pytest.mark.parametrize("error", [TimeoutError(), HttpError(500), Cut("1 of 2 bytes came")])
def test_trouble_that_passes_is_asked_again(error: Exception) -> None:
    assert ask(Moody(error, error)) == "content"


def test_trouble_that_stays_is_told_after_the_last_attempt() -> None:
    started = time.monotonic()
    with pytest.raises(ComponentUnavailable, match="the store of s3://bucket/key does not answer, asked 3 times"):
        ask(Moody(*[TimeoutError()] * 4), retries=2)
    assert time.monotonic() - started < 20


def test_denial_is_told_at_once_with_the_hint() -> None:
    system = Moody(PermissionError("no"), PermissionError("no"))
    with pytest.raises(ComponentUnavailable, match=r"reading s3://bucket/key is denied \(no\): use .*Log in\."):
        ask(system, hint="Log in.")
    assert len(system.errors) == 1


@pytest.mark.parametrize("text", ["the key hunter22 is wrong", "the key is wrong"])
def test_cause_that_holds_a_secret_is_left_out(text: str) -> None:
    with pytest.raises(ComponentUnavailable) as told:
        ask(Moody(ValueError(text)), secrets=["hunter22"])
    assert "hunter22" not in str(told.value)
    assert told.value.__suppress_context__
    assert (told.value.__cause__ is None) == ("hunter22" in text)


def test_missing_object_is_no_trouble_of_the_store() -> None:
    with pytest.raises(FileNotFoundError, match="there is nothing at s3://bucket/key"):
        ask(Moody(HttpError(404)))


def test_client_that_cannot_be_made_is_told_without_secrets() -> None:
    def connect() -> object:
        raise ValueError("hunter22 is no key")

    with pytest.raises(
        SettingsError, match=r"the client for s3://bucket cannot be made \(ValueError: \*\*\* is no key\)"
    ) as told:
        Client(connect, "s3://bucket", secrets=["hunter22"]).path("s3://bucket/key")
    assert told.value.__cause__ is None


def test_client_connects_once_and_again_in_a_copy() -> None:
    client = Client(dict, "s3://bucket")
    assert client.system is client.system
    assert pickle.loads(pickle.dumps(client)).system is not client.system
