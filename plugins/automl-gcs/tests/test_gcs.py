from __future__ import annotations

import json
import time

import pytest

from automl_core import ComponentUnavailable, Context, SettingsError, Storage
from automl_core.testing import LocatedConformance, PluginConformance, StorageConformance
from automl_gcs.plugin import build_storage

SECRET = "secret-never-shown"
# Of aiohttp, for what the cloud's client does; Python shows none of these unless told to.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")


@pytest.fixture
def storage(bucket, block) -> Storage:
    return build_storage(Context("gcs", {**block, "url": f"gs://{bucket}/some/folder", "part_size": 5}))


class TestPlugin(PluginConformance):
    plugin = "gcs"
    settings = {"url": "gs://bucket/folder"}


class TestStorage(StorageConformance):
    crosses_processes = True

    @pytest.fixture
    def storage(self, storage) -> Storage:
        return storage

    @pytest.fixture
    def another(self, bucket, block):
        return lambda: build_storage(Context("gcs", {**block, "url": f"gs://{bucket}/some/folder"}))


class TestFiles(LocatedConformance):
    @pytest.fixture
    def storage(self, storage) -> Storage:
        return storage

    @pytest.fixture
    def place(self, bucket) -> str:
        return f"gs://{bucket}/data"


def test_server_that_stopped_is_told(start_server, block) -> None:
    server = start_server()
    url = f"gs://{server.make_bucket()}/folder"
    storage = build_storage(Context("gcs", {**block, "endpoint_url": server.url, "url": url, "retries": 1}))
    storage.put("key", b"x")
    server.stop()
    started = time.monotonic()
    for attempt in (lambda: storage.put("key", b"y"), lambda: storage.open("key"), lambda: list(storage.keys())):
        with pytest.raises(ComponentUnavailable, match="does not answer, asked 2 times") as told:
            attempt()
        assert SECRET not in str(told.value)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("name", ["put", "append"])
def test_missing_bucket_is_told(block, name) -> None:
    storage = build_storage(Context("gcs", {**block, "url": "gs://no-such-bucket/folder"}))
    with pytest.raises(ComponentUnavailable, match="there is no bucket gs://no-such-bucket: create it"):
        getattr(storage, name)("name", b"x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"url": None}, r"plugins\.gcs\.url .* is missing"),
        ({"url": "gs://"}, "names no bucket"),
        ({"credentials_json": "{}"}, "takes one of anonymous"),
        ({"anonymous": False, "credentials_json": f"{{'{SECRET}"}, "is no JSON"),
    ],
)
def test_wrong_setting_is_told(block, change, message) -> None:
    with pytest.raises(SettingsError, match=message) as told:
        build_storage(Context("gcs", {**block, "url": "gs://bucket/folder", **change}))
    assert SECRET not in str(told.value)


def test_credentials_that_make_no_sense_are_told(bucket, block) -> None:
    info = json.dumps(
        {"type": "service_account", "client_email": "a@b", "private_key": SECRET, "token_uri": "http://127.0.0.1:1"}
    )
    more = {"url": f"gs://{bucket}/folder", "anonymous": False, "credentials_json": info}
    with pytest.raises(SettingsError, match=r"cannot be made .* check its settings") as told:
        build_storage(Context("gcs", {**block, **more})).put("key", b"x")
    assert SECRET not in str(told.value)
