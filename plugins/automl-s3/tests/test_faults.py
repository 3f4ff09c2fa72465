"""What a store does to those who use it, by a real server behind a relay that breaks things."""

from __future__ import annotations

import io
import time

import boto3
import numpy as np
import pytest

from automl_core import ComponentUnavailable, Context, DataError, SettingsError, Storage
from automl_s3.plugin import build_storage

SECRET = "secret-never-shown"


@pytest.fixture
def make(bucket, block, relay):
    """Build storages that reach the server through the relay."""
    return lambda **more: build_storage(
        Context("s3", {**block, "endpoint_url": relay.url, "url": f"s3://{bucket}/folder", "part_size": 5, **more})
    )


@pytest.fixture
def client(server):
    client = boto3.client(
        "s3", endpoint_url=server.url, region_name="us-east-1", aws_access_key_id="id", aws_secret_access_key="secret"
    )
    yield client
    client.close()


def content(storage: Storage, key: str) -> bytes:
    with storage.open(key) as file:
        return file.read()


# ---- trouble that passes


@pytest.mark.parametrize("fault", ["busy", "hang up", "lose"])
def test_put_is_tried_again(make, relay, fault) -> None:
    relay.faults = [("PUT", "", fault)] * 2
    make().put("key", b"data")
    assert relay.faults == []
    assert content(make(), "key") == b"data"


@pytest.mark.parametrize("fault", ["busy", "hang up", "lose", "cut"])
def test_reading_is_tried_again(make, relay, fault) -> None:
    storage = make()
    storage.put("key", b"0123456789")
    storage.append("log", b"record")
    storage.put_uri(f"{storage.client.uri}/file", b"0123456789")
    relay.faults = [("GET", "/blobs/", fault), ("GET", "/logs/", fault), ("GET", "/file", fault)]
    assert content(storage, "key") == b"0123456789"
    assert list(storage.read("log")) == [(1, b"record")]
    with storage.open_uri(f"{storage.client.uri}/file") as file:
        assert file.read() == b"0123456789"
    assert relay.faults == []


@pytest.mark.parametrize("fault", ["busy", "hang up", "lose"])
def test_append_is_there_once(make, relay, fault) -> None:
    storage = make()
    relay.faults = [("PUT", "/logs/", fault)]
    assert storage.append("log", b"a") == 1
    relay.faults = [("PUT", "/logs/", fault), ("PUT", "/logs/", fault)]
    assert storage.append("log", b"b") == 2
    assert list(make().read("log")) == [(1, b"a"), (2, b"b")]


def test_equal_records_of_two_writers_are_both_there(make, relay) -> None:
    first, second = make(), make()
    assert [first.append("log", b"same"), second.append("log", b"same"), first.append("log", b"same")] == [1, 2, 3]
    assert [number for number, _ in first.read("log")] == [1, 2, 3]


def test_server_that_comes_back_is_used_again(start_server, block) -> None:
    server = start_server()
    url = f"s3://{server.make_bucket()}/folder"
    storage = build_storage(Context("s3", {**block, "endpoint_url": server.url, "url": url, "retries": 1}))
    storage.put("key", b"x")
    server.stop()
    started = time.monotonic()
    with pytest.raises(ComponentUnavailable, match="does not answer, asked 2 times") as told:
        storage.put("key", b"y")
    assert time.monotonic() - started < 10
    assert SECRET not in str(told.value)
    server.start()
    again = server.make_bucket()
    storage.client.uri = f"s3://{again}/folder"
    storage.put("key", b"z")
    assert content(storage, "key") == b"z"


# ---- nothing half-written


def test_upload_that_breaks_off_leaves_the_old_blob(make, relay) -> None:
    storage = make(retries=0)
    storage.put("key", b"old")
    relay.faults = [("PUT", "/blobs/", "hang up")] * 3  # aiohttp asks again by itself on a connection that was in use
    with pytest.raises(ComponentUnavailable, match="does not answer"):
        storage.put("key", b"new")
    assert content(storage, "key") == b"old"


def test_part_that_fails_leaves_the_old_blob_and_no_parts(make, relay, client, bucket) -> None:
    storage = make(retries=0)
    storage.put("key", b"old")
    relay.faults = [("PUT", "partNumber=2", "busy")]
    with pytest.raises(ComponentUnavailable, match="SlowDown"):
        storage.put("key", bytes(12 << 20))
    assert relay.faults == []
    assert content(storage, "key") == b"old"
    assert client.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


def test_large_blob_goes_up_in_parts(make, relay) -> None:
    data = np.random.default_rng(0).bytes(12 << 20)
    relay.faults = [("PUT", "partNumber=2", "busy"), ("POST", "uploadId", "busy")]
    make().put("key", data)
    assert relay.faults == []
    assert content(make(), "key") == data


def test_deletion_that_broke_off_is_finished(make, client, bucket) -> None:
    storage = make()
    for text in (b"a", b"b", b"c"):
        storage.append("log", text)
    client.delete_object(Bucket=bucket, Key=f"folder/logs/log.log/{1:020d}")
    again = make()
    assert list(again.read("log")) == []
    assert again.append("log", b"new") == 1
    assert list(make().read("log")) == [(1, b"new")]


def test_missing_record_is_damage(make, client, bucket) -> None:
    storage = make()
    for text in (b"a", b"b", b"c"):
        storage.append("log", text)
    client.delete_object(Bucket=bucket, Key=f"folder/logs/log.log/{2:020d}")
    with pytest.raises(DataError, match="record 2 is missing"):
        list(storage.read("log"))


def test_cut_record_is_damage(make, client, bucket) -> None:
    make().append("log", b"a")
    client.put_object(Bucket=bucket, Key=f"folder/logs/log.log/{1:020d}", Body=b"short")
    with pytest.raises(DataError, match="record 1 is cut off"):
        list(make().read("log"))


# ---- trouble that stays


def attempts(storage: Storage):
    return [
        lambda: storage.put("key", b"x"),
        lambda: storage.open("key"),
        lambda: storage.append("log", b"x"),
        lambda: list(storage.read("log")),
        lambda: list(storage.keys()),
        lambda: storage.table(f"{storage.client.uri}/x.csv"),
    ]


def test_wrong_key_is_told(strict_server, block) -> None:
    url = f"s3://{strict_server.make_bucket()}/folder"
    storage = build_storage(Context("s3", {**block, "endpoint_url": strict_server.url, "url": url}))
    for attempt in attempts(storage):
        with pytest.raises(ComponentUnavailable, match=r"is denied .*: use credentials that may do that\.") as told:
            attempt()
        assert SECRET not in str(told.value)


def test_expired_token_is_told(make, relay) -> None:
    relay.faults = [("PUT", "", "expired")]
    with pytest.raises(ComponentUnavailable, match=r"have expired \(The provided token has expired.*: renew them"):
        make().put("key", b"x")


def test_denied_request_is_not_tried_again(make, relay) -> None:
    relay.faults = [("PUT", "", "denied"), ("PUT", "", "busy")]
    with pytest.raises(ComponentUnavailable, match=r"writing s3://.*/folder/blobs/key is denied"):
        make().put("key", b"x")
    assert len(relay.faults) == 1


@pytest.mark.parametrize("attempt", [0, 2])
def test_missing_bucket_is_told(make, attempt) -> None:
    with pytest.raises(ComponentUnavailable, match="there is no bucket s3://no-such-bucket: create it"):
        attempts(make(url="s3://no-such-bucket/folder"))[attempt]()


def test_missing_credentials_are_told(block, bucket) -> None:
    reach = {name: block[name] for name in ("endpoint_url", "region")}
    storage = build_storage(Context("s3", {**reach, "url": f"s3://{bucket}/folder"}))
    with pytest.raises(ComponentUnavailable, match=r"there are no credentials for .* AWS_ACCESS_KEY_ID"):
        storage.put("key", b"x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"url": None}, r"plugins\.s3\.url .* is missing"),
        ({"url": "s3://"}, "names no bucket"),
        ({"secret_access_key": None}, "access_key_id and secret_access_key together"),
        ({"retries": -1}, "AUTOML_PLUGINS__S3__RETRIES"),
    ],
)
def test_wrong_setting_is_told(block, change, message) -> None:
    with pytest.raises(SettingsError, match=message):
        build_storage(Context("s3", {**block, "url": "s3://bucket/folder", **change}))


# ---- pruning


@pytest.mark.parametrize("how", ["columns", "filter"])
def test_only_what_is_asked_for_is_fetched(make, relay, how) -> None:
    import pyarrow as pa
    from pyarrow import compute, parquet

    numbers = np.arange(400_000, dtype=np.float64)
    noise = np.random.default_rng(0).normal(size=(4, len(numbers)))
    sink = io.BytesIO()
    parquet.write_table(pa.table({"n": numbers, **{f"x{i}": noise[i] for i in range(4)}}), sink, row_group_size=20_000)
    storage = make()
    uri = f"{storage.client.uri}/table.parquet"
    storage.put_uri(uri, sink.getvalue())
    before = relay.sent
    if how == "columns":
        assert storage.table(uri, columns=["x0"]).to_table().num_rows == len(numbers)
    else:
        assert storage.table(uri).to_table(filter=compute.field("n") < 20_000).num_rows == 20_000
    assert relay.sent - before < 0.35 * len(sink.getvalue())
