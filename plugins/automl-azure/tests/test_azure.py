from __future__ import annotations

import base64
import time
from datetime import UTC, datetime, timedelta

import pytest
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

from automl_azure.plugin import build_storage
from automl_core import ComponentUnavailable, Context, SettingsError, Storage
from automl_core.testing import LocatedConformance, PluginConformance, StorageConformance

SECRET = base64.b64encode(b"another key of this very length!").decode()
# Of aiohttp, for what the cloud's client does; Python shows none of these unless told to.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")


@pytest.fixture
def storage(bucket, block) -> Storage:
    return build_storage(Context("azure", {**block, "url": f"az://{bucket}/some/folder", "part_size": 5}))


class TestPlugin(PluginConformance):
    plugin = "azure"
    settings = {"url": "az://bucket/folder", "account_name": "none", "account_key": "a2V5"}


class TestStorage(StorageConformance):
    crosses_processes = True

    @pytest.fixture
    def storage(self, storage) -> Storage:
        return storage

    @pytest.fixture
    def another(self, bucket, block):
        return lambda: build_storage(Context("azure", {**block, "url": f"az://{bucket}/some/folder"}))


class TestFiles(LocatedConformance):
    @pytest.fixture
    def storage(self, storage) -> Storage:
        return storage

    @pytest.fixture
    def place(self, bucket) -> str:
        return f"az://{bucket}/data"


def test_server_that_stopped_is_told(start_server, block) -> None:
    server = start_server()
    url = f"az://{server.make_container()}/folder"
    storage = build_storage(Context("azure", {**block, "endpoint_url": server.url, "url": url, "retries": 1}))
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
    storage = build_storage(Context("azure", {**block, "url": "az://no-such-bucket/folder"}))
    with pytest.raises(ComponentUnavailable, match="there is no bucket az://no-such-bucket: create it"):
        getattr(storage, name)("name", b"x")


def test_wrong_key_is_told(bucket, block) -> None:
    storage = build_storage(Context("azure", {**block, "account_key": SECRET, "url": f"az://{bucket}/folder"}))
    for attempt in (lambda: storage.put("key", b"y"), lambda: storage.open("key"), lambda: storage.append("log", b"x")):
        with pytest.raises(ComponentUnavailable, match=r"is denied .*: use credentials that may do that\.") as told:
            attempt()
        assert SECRET not in str(told.value)


@pytest.mark.parametrize(("hours", "works"), [(1, True), (-1, False)])
def test_shared_access_signature(bucket, block, hours, works) -> None:
    sas = generate_account_sas(
        block["account_name"], block["account_key"], ResourceTypes(service=True, container=True, object=True),
        AccountSasPermissions(read=True, write=True, list=True, create=True), datetime.now(UTC) + timedelta(hours=hours),
    )  # fmt: skip
    more = {"account_key": None, "sas_token": sas, "url": f"az://{bucket}/folder"}
    storage = build_storage(Context("azure", {**block, **more}))
    if works:
        storage.put("key", b"x")
        assert storage.open("key").read() == b"x"
    else:
        with pytest.raises(ComponentUnavailable, match=r"denied|expired") as told:
            storage.put("key", b"x")
        assert sas not in str(told.value)


def test_connection_string_reaches_the_server(bucket, block) -> None:
    text = f"AccountName={block['account_name']};AccountKey={block['account_key']};BlobEndpoint={block['endpoint_url']}"
    storage = build_storage(Context("azure", {"connection_string": text, "url": f"az://{bucket}/folder"}))
    storage.put("key", b"x")
    assert storage.open("key").read() == b"x"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"url": None}, r"plugins\.azure\.url .* is missing"),
        ({"url": "az://"}, "names no bucket"),
        ({"account_name": None}, r"plugins\.azure\.account_name .* is missing"),
    ],
)
def test_wrong_setting_is_told(block, change, message) -> None:
    with pytest.raises(SettingsError, match=message):
        build_storage(Context("azure", {**block, "url": "az://container/folder", **change}))


def test_account_may_stand_in_the_uri() -> None:
    url = "abfss://container@account.dfs.core.windows.net/folder"
    storage = build_storage(Context("azure", {"url": url, "account_key": SECRET}))
    assert storage.client.system.account_name == "account"
    assert storage.client.path(f"{url}/x.csv") == "container/folder/x.csv"
