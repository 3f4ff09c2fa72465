"""What the server is made of, each part alone."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import socket
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from automl_core import Context, SettingsError
from automl_core.testing import PluginConformance, ServerConformance
from automl_starlette.bodies import Disconnected, read_body
from automl_starlette.decoding import decode
from automl_starlette.keys import Keys
from automl_starlette.plugin import build_server
from automl_starlette.problems import Problem
from automl_starlette.server import StarletteServer
from automl_starlette.settings import ServerSettings
from automl_starlette.tensors import parse_inference

NAMES = ("a", "b")


class TestPlugin(PluginConformance):
    plugin = "starlette"


class TestServer(ServerConformance):
    @pytest.fixture
    def address(self) -> tuple[str, int]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()

    @pytest.fixture
    def server(self, address: tuple[str, int]) -> StarletteServer:
        return StarletteServer(ServerSettings(port=address[1], drain=0.0, grace=2.0))

    @pytest.fixture
    def service(self) -> Any:
        return pytest.importorskip("automl.service", reason="needs automl-sdk").PredictionService()


def test_settings_are_validated() -> None:
    with pytest.raises(SettingsError, match="WORKERS"):
        build_server(Context("starlette", {"workers": "0"}))
    with pytest.raises(SettingsError, match="go together"):
        build_server(Context("starlette", {"tls_key": "k.pem"}))


# ---- bodies


def receiving(*parts: bytes, pause: float = 0.0) -> Callable[[], Awaitable[Any]]:
    left = list(parts)

    async def receive() -> Any:
        if pause:
            await asyncio.sleep(pause)
        if not left:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    return receive


def read(*parts: bytes, headers: dict[bytes, bytes] | None = None, pause: float = 0.0) -> bytes:
    return asyncio.run(read_body(receiving(*parts, pause=pause), headers or {}, limit=1000, seconds=0.05))


def test_body_is_put_together() -> None:
    assert read(b"ab", b"", b"c") == b"abc"


@pytest.mark.parametrize(
    ("parts", "headers", "status"),
    [
        ((b"x" * 1001,), {}, 413),
        ((b"x" * 600, b"x" * 600), {}, 413),
        ((b"",), {b"content-length": b"1001"}, 413),
        ((gzip.compress(b"x" * 10_000_000),), {b"content-encoding": b"gzip"}, 413),
        ((gzip.compress(b"x" * 100)[:-5],), {b"content-encoding": b"gzip"}, 400),
        ((b"no gzip",), {b"content-encoding": b"gzip"}, 400),
        ((b"x",), {b"content-encoding": b"br"}, 415),
    ],
)
def test_bad_body_is_refused(parts, headers, status) -> None:
    with pytest.raises(Problem) as refused:
        read(*parts, headers=headers)
    assert refused.value.status == status


@pytest.mark.parametrize(("name", "pack"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress)])
def test_compressed_body_is_unpacked(name, pack) -> None:
    assert read(pack(b"x" * 100), headers={b"content-encoding": name}) == b"x" * 100


def test_slow_body_is_refused() -> None:
    with pytest.raises(Problem) as refused:
        read(*[b"x"] * 100, pause=0.02)
    assert refused.value.status == 408


def test_client_that_left_is_not_answered() -> None:
    with pytest.raises(Disconnected):
        read()


# ---- keys


@pytest.mark.parametrize(
    "headers", [{b"x-api-key": b"one"}, {b"authorization": b"Bearer two"}, {b"authorization": b"bearer  two"}]
)
def test_any_of_the_keys_lets_pass(headers) -> None:
    Keys(["one", "two"]).check(headers)


@pytest.mark.parametrize("headers", [{}, {b"x-api-key": b""}, {b"x-api-key": b"on"}, {b"authorization": b"Basic one"}])
def test_anything_else_does_not(headers) -> None:
    with pytest.raises(Problem) as refused:
        Keys(["one", "two"]).check(headers)
    assert refused.value.status == 401


def test_keys_of_a_file_are_rotated(tmp_path) -> None:
    file = tmp_path / "keys"
    file.write_text("old\n")
    keys = Keys([], str(file))
    keys.check({b"x-api-key": b"old"})
    file.write_text("new\nnewer\n")
    os.utime(file, ns=(1, 1))
    keys._looked = 0.0
    keys.check({b"x-api-key": b"newer"})
    with pytest.raises(Problem):
        keys.check({b"x-api-key": b"old"})


def test_empty_file_of_keys_lets_nobody_pass(tmp_path) -> None:
    (tmp_path / "keys").write_text("\n")
    keys = Keys([], str(tmp_path / "keys"))
    assert keys.needed
    with pytest.raises(Problem):
        keys.check({})
    with pytest.raises(SettingsError, match="cannot be read"):
        Keys([], str(tmp_path / "none"))


# ---- bodies to rows

ROWS = [{"a": 1, "b": 2}, {"a": 3, "b": 4}]


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("application/json", b'{"a": 1, "b": 2}', {"a": 1, "b": 2}),
        ("application/json; charset=utf-8", json.dumps(ROWS).encode(), ROWS),
        ("", json.dumps({"instances": ROWS}).encode(), ROWS),
        ("", json.dumps({"dataframe_records": ROWS}).encode(), ROWS),
        ("", b'{"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2], [3, 4]]}}', {"a": [1, 3], "b": [2, 4]}),
        ("", b'{"rows": [[1, 2], [3, 4]]}', [[1, 2], [3, 4]]),
        ("application/x-ndjson", b'{"a": 1, "b": 2}\n\n{"a": 3, "b": 4}\n', ROWS),
        ("text/csv", b"a,b\n1,2\n3,\n", {"a": ["1", "3"], "b": ["2", None]}),
    ],
)
def test_body_is_read_by_its_type(kind, body, expected) -> None:
    assert decode(body, kind.encode(), NAMES) == expected


def test_name_of_an_envelope_may_be_a_column() -> None:
    assert decode(b'{"rows": 5, "b": 1}', b"", ("rows", "b")) == {"rows": 5, "b": 1}


def test_doubles_are_rows() -> None:
    values = np.arange(4.0).reshape(2, 2)
    np.testing.assert_array_equal(decode(values.tobytes(), b"application/octet-stream", NAMES), values)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b""),
        ("application/json", b"nonsense"),
        ("application/json", b"[" * 100_000),
        ("application/json", b'{"a": NaN}'),
        ("application/json", b'{"a": Infinity}'),
        ("application/json", b'{"a": "\xff\xfe"}'),
        ("application/json", b"[]"),
        ("application/json", b"{}"),
        ("application/json", b"null"),
        ("application/json", b"[1, 2]"),
        ("application/json", b'[{"a": 1}, [1]]'),
        ("application/json", b'{"rows": 5}'),
        ("application/json", b'{"rows": [[1]], "columns": ["a", "b"]}'),
        ("application/json", b'{"rows": [[1]], "columns": 5}'),
        ("application/json", b'{"dataframe_split": []}'),
        ("application/x-ndjson", b"\n\n"),
        ("application/x-ndjson", b"[1]\n"),
        ("text/csv", b"a,b\n"),
        ("text/csv", b"a,b\n1\n"),
        ("text/csv", b"\xff\xfe\x00"),
        ("application/octet-stream", b"123"),
        ("application/octet-stream", b""),
    ],
)
def test_malformed_body_is_refused(kind, body) -> None:
    with pytest.raises(Problem) as refused:
        decode(body, kind.encode(), NAMES)
    assert refused.value.status == 400


def test_unknown_type_is_refused() -> None:
    with pytest.raises(Problem) as refused:
        decode(b"x", b"application/pickle", NAMES)
    assert refused.value.status == 415


# ---- tensors


def tensor(**changes: Any) -> dict[str, Any]:
    return {"name": "a", "datatype": "FP64", "shape": [2], "data": [1, 2], **changes}


@pytest.mark.parametrize(
    "head",
    [
        [],
        {},
        {"inputs": []},
        {"inputs": [5]},
        {"inputs": [tensor(shape=[3])]},
        {"inputs": [tensor(shape=[-2])]},
        {"inputs": [tensor(shape=[2, 1, 1])]},
        {"inputs": [tensor(shape="x")]},
        {"inputs": [tensor(shape=[10**30])]},
        {"inputs": [tensor(datatype="FP7")]},
        {"inputs": [tensor(datatype={})]},
        {"inputs": [tensor(data=None)]},
        {"inputs": [tensor(data=[[1], 2])]},
        {"inputs": [tensor(parameters=5)]},
        {"inputs": [tensor(), tensor()]},
        {"inputs": [tensor(parameters={"binary_data_size": 99})]},
        {"inputs": [tensor(parameters={"binary_data_size": True})]},
        {"inputs": [tensor()], "outputs": [{"name": "x"}]},
        {"inputs": [tensor()], "outputs": 5},
        {"inputs": [tensor()], "id": 5},
    ],
)
def test_malformed_inference_is_refused(head) -> None:
    with pytest.raises(Problem) as refused:
        parse_inference(json.dumps(head).encode(), None, NAMES, classes=True)
    assert refused.value.status == 400


@pytest.mark.parametrize("length", [b"-1", b"x", b"100000"])
def test_wrong_header_length_is_refused(length) -> None:
    with pytest.raises(Problem):
        parse_inference(b"{}", length, NAMES, classes=True)


def test_binary_tensors_are_read() -> None:
    strings = b"".join(len(t).to_bytes(4, "little") + t for t in (b"x", "ü".encode()))
    blobs = [np.array([1, 2], "<i4").tobytes(), strings]
    inputs = [
        {"name": "a", "datatype": "INT32", "shape": [2, 1], "parameters": {"binary_data_size": 8}},
        {"name": "b", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": len(strings)}},
    ]
    head = json.dumps({"inputs": inputs}).encode()
    found = parse_inference(head + b"".join(blobs), b"%d" % len(head), NAMES, classes=False)
    assert found.data["a"].tolist() == [1, 2]
    assert found.data["b"] == ["x", "ü"]
    with pytest.raises(Problem):
        parse_inference(head + b"".join(blobs) + b"more", b"%d" % len(head), NAMES, classes=False)
    with pytest.raises(Problem):
        parse_inference(head + blobs[0] + strings[:-1], b"%d" % len(head), NAMES, classes=False)
