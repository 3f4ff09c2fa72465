"""A model behind gRPC, asked by Triton's client."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from automl_core import Context, SettingsError
from automl_core.testing import PluginConformance, ServerConformance

pytest.importorskip("automl_grpc")
pytest.importorskip("automl.service", reason="needs automl-sdk")
pytest.importorskip("tritonclient.grpc", reason="needs tritonclient")
import grpc
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from automl import AutoML
from automl.service import PredictionService, ServiceOptions
from automl_core.settings import load_settings
from automl_grpc.plugin import build_server
from automl_grpc.protocol import FIELDS, METHODS, PACKAGE, message
from automl_grpc.server import GrpcServer
from automl_grpc.settings import GrpcSettings

ROWS = 60


def find_address() -> tuple[str, int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return "127.0.0.1", probe.getsockname()[1]


class TestPlugin(PluginConformance):
    plugin = "grpc"


class TestServer(ServerConformance):
    @pytest.fixture
    def address(self) -> tuple[str, int]:
        return find_address()

    @pytest.fixture
    def server(self, address: tuple[str, int]) -> GrpcServer:
        return GrpcServer(GrpcSettings(port=address[1], grace=2.0))

    @pytest.fixture
    def service(self) -> Any:
        return PredictionService()


@pytest.fixture(scope="module")
def columns() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {"age": rng.normal(size=ROWS), "city": [("Bern", "Köln", "Oslo")[i % 3] for i in range(ROWS)]}


@pytest.fixture(scope="module")
def service(columns: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("files")
    settings = load_settings(learners="sklearn.linear", storage="memory", search="random", directory=str(folder))
    age, city = columns["age"], np.array(columns["city"])
    targets = {
        "buyers": np.where(age + (city == "Oslo") > 0.3, "größer", "kleiner").tolist(),
        "prices": (3 * age + 2 * (city == "Bern")).tolist(),
    }
    service = PredictionService(options=ServiceOptions(max_rows=100))
    for name, target in targets.items():
        engine = AutoML(max_trials=1, time_limit=60, n_jobs=1, settings=settings)
        service.add(engine.fit({**columns, "y": target}, target="y").model_, name=name, version="1")
    return service


@contextmanager
def serving(service: Any, **settings: Any) -> Iterator[str]:
    server = GrpcServer(GrpcSettings(**{"port": 0, "grace": 2.0, **settings}))
    thread = threading.Thread(target=server.serve, args=(service,))
    thread.start()
    try:
        while server.address is None:
            assert thread.is_alive(), "serve ended before it listened"
            time.sleep(0.01)
        yield f"{server.address[0]}:{server.address[1]}"
    finally:
        server.stop()
        thread.join(30)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def url(service: Any) -> Iterator[str]:
    with serving(service) as url:
        yield url


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[Any]:
    with triton.InferenceServerClient(url) as client:
        yield client


@pytest.fixture(scope="module")
def stub(url: str) -> Iterator[Any]:
    with grpc.insecure_channel(url) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


def inputs(columns: dict[str, Any]) -> list[Any]:
    age = triton.InferInput("age", [len(columns["age"])], "FP64")
    age.set_data_from_numpy(np.asarray(columns["age"], dtype=np.float64))
    city = triton.InferInput("city", [len(columns["city"]), 1], "BYTES")
    city.set_data_from_numpy(np.array([text.encode() for text in columns["city"]], dtype=object)[:, None])
    return [age, city]


def first(columns: dict[str, Any], rows: int) -> dict[str, Any]:
    return {name: list(values[:rows]) for name, values in columns.items()}


@pytest.mark.parametrize("name", FIELDS)
def test_messages_are_those_of_the_protocol(name: str) -> None:
    official = service_pb2.DESCRIPTOR.message_types_by_name[name.partition(".")[0]]
    if "." in name:
        official = official.nested_types_by_name[name.partition(".")[2]]
    ours = message(name).DESCRIPTOR
    assert ours.full_name == official.full_name == f"{PACKAGE}.{name}"
    for field in ours.fields:
        theirs = official.fields_by_name[field.name]
        assert (field.number, field.type, field.is_repeated) == (theirs.number, theirs.type, theirs.is_repeated)


def test_methods_are_those_of_the_protocol() -> None:
    official = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
    assert [(official[name].input_type.name, official[name].output_type.name) for name in METHODS] == [
        (f"{name}Request", f"{name}Response") for name in METHODS
    ]


def test_health_is_told(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("buyers")
    assert client.is_model_ready("buyers", "1")
    assert client.get_server_metadata().name == "automl"


def test_metadata_names_inputs_and_outputs(client: Any) -> None:
    told = client.get_model_metadata("buyers")
    assert [(tensor.name, tensor.datatype) for tensor in told.inputs] == [("age", "FP64"), ("city", "BYTES")]
    assert [(t.name, t.datatype, list(t.shape)) for t in told.outputs] == [
        ("predict", "BYTES", [-1]),
        ("predict_proba", "FP64", [-1, 2]),
    ]
    assert (told.name, list(told.versions), told.platform) == ("buyers", ["1"], "automl")
    assert [tensor.name for tensor in client.get_model_metadata("prices").outputs] == ["predict"]


@pytest.mark.parametrize("rows", [1, ROWS])
def test_raw_tensors_give_what_the_model_says(client: Any, service: Any, columns: dict[str, Any], rows: int) -> None:
    asked = first(columns, rows)
    model = service.find("buyers").model
    answer = client.infer("buyers", inputs(asked), request_id="r1")
    assert [text.decode() for text in answer.as_numpy("predict")] == model.predict(asked).tolist()
    np.testing.assert_array_equal(answer.as_numpy("predict_proba"), model.predict_proba(asked))
    response = answer.get_response()
    assert (response.model_name, response.model_version, response.id) == ("buyers", "1", "r1")


def test_numbers_come_back_as_numbers(client: Any, service: Any, columns: dict[str, Any]) -> None:
    said = client.infer("prices", inputs(columns)).as_numpy("predict")
    np.testing.assert_array_equal(said, service.find("prices").model.predict(columns))


def test_named_output_is_the_only_one(client: Any, columns: dict[str, Any]) -> None:
    wanted = [triton.InferRequestedOutput("predict_proba")]
    answer = client.infer("buyers", inputs(columns), outputs=wanted)
    assert [tensor.name for tensor in answer.get_response().outputs] == ["predict_proba"]


def request(**changes: Any) -> Any:
    made = service_pb2.ModelInferRequest(model_name="buyers")
    age = made.inputs.add(name="age", datatype="FP32", shape=[2])
    age.contents.fp32_contents.extend([0.5, -1.5])
    city = made.inputs.add(name="city", datatype="BYTES", shape=[2])
    city.contents.bytes_contents.extend([b"Bern", "Köln".encode()])
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_typed_contents_give_what_the_model_says(stub: Any, service: Any) -> None:
    answer = stub.ModelInfer(request())
    model, asked = service.find("buyers").model, {"age": [0.5, -1.5], "city": ["Bern", "Köln"]}
    assert [text.decode() for text in answer.outputs[0].contents.bytes_contents] == model.predict(asked).tolist()
    assert list(answer.outputs[1].contents.fp64_contents) == model.predict_proba(asked).ravel().tolist()
    assert not answer.raw_output_contents


def spoil(made: Any, how: str) -> Any:
    age, city = made.inputs
    if how == "shape":
        age.shape[0] = 3
    elif how == "no shape":
        del age.shape[:]
    elif how == "type":
        age.datatype = "FP128"
    elif how == "half":
        age.datatype = "FP16"
    elif how == "twice":
        city.CopyFrom(age)
    elif how == "utf-8":
        city.contents.bytes_contents[0] = b"\xff"
    elif how == "output":
        made.outputs.add(name="explain")
    elif how == "nothing":
        del made.inputs[:]
    elif how == "one raw":
        made.raw_input_contents.append(b"")
    elif how == "cut":
        made.raw_input_contents.extend([np.float32([0.5, 1]).tobytes(), b"\x09\x00\x00\x00Bern"])
    elif how == "short":
        made.raw_input_contents.extend([b"\x00" * 7, b""])
    else:
        age.name = how
    return made


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("shape", "2 values, but its shape needs 3"),
        ("no shape", "numbers above 0"),
        ("type", "'FP128', which is unknown"),
        ("half", "only be sent raw"),
        ("twice", "two tensors named 'age'"),
        ("utf-8", "no UTF-8"),
        ("output", "no output 'explain'; there are: predict, predict_proba"),
        ("nothing", "no inputs"),
        ("one raw", "2 inputs but 1 raw contents"),
        ("cut", "are cut"),
        ("short", "7 bytes, but its shape needs 8"),
        ("agge", "age"),
    ],
)
def test_bad_request_is_told_what_is_wrong(stub: Any, how: str, message: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(spoil(request(), how))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert message in caught.value.details()


def test_unknown_model_or_version_is_not_found(stub: Any) -> None:
    for changes in ({"model_name": "sellers"}, {"model_version": "7"}):
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(request(**changes))
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelReady(service_pb2.ModelReadyRequest(name="sellers"))
    assert "there are: buyers, prices" in caught.value.details()


def test_too_many_rows_are_refused(client: Any, columns: dict[str, Any]) -> None:
    twice = {name: [*values, *values] for name, values in columns.items()}
    with pytest.raises(InferenceServerException, match="120 rows; at most 100"):
        client.infer("buyers", inputs(twice))


def test_call_that_is_no_part_of_the_protocol_is_unimplemented(stub: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelStatistics(service_pb2.ModelStatisticsRequest())
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_requests_and_failures_are_counted(service: Any, stub: Any) -> None:
    before = service.counters.totals()
    stub.ModelInfer(request())
    with pytest.raises(grpc.RpcError):
        stub.ModelInfer(request(model_name="sellers"))
    after = service.counters.totals()
    assert [after[name] - before[name] for name in ("requests", "rows", "errors")] == [2, 2, 1]


def test_key_is_needed_but_for_health() -> None:
    with serving(PredictionService(), api_keys=("k1", "k2")) as url, grpc.insecure_channel(url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ServerLive(service_pb2.ServerLiveRequest()).live
        for shown in ((), (("authorization", "Bearer k3"),)):
            with pytest.raises(grpc.RpcError) as caught:
                stub.ServerMetadata(service_pb2.ServerMetadataRequest(), metadata=shown)
            assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
        told = stub.ServerMetadata(service_pb2.ServerMetadataRequest(), metadata=(("authorization", "Bearer k2"),))
        assert told.name == "automl"


def test_answer_that_comes_from_the_services_thread_is_the_same(service: Any, columns: dict[str, Any]) -> None:
    model = service.find("buyers").model
    slow = PredictionService(options=ServiceOptions(batch_above=1e-12, local_rows=0))
    slow.add(model, name="buyers")
    with serving(slow) as url, triton.InferenceServerClient(url) as client:
        said = client.infer("buyers", inputs(columns)).as_numpy("predict_proba")
    np.testing.assert_array_equal(said, model.predict_proba(columns))


def test_request_above_the_limit_is_refused(service: Any, columns: dict[str, Any]) -> None:
    model = service.find("buyers").model
    small = PredictionService()
    small.add(model, name="buyers")
    many = {name: list(values) * 10 for name, values in columns.items()}
    with serving(small, max_message=1024) as url, triton.InferenceServerClient(url) as client:
        with pytest.raises(InferenceServerException, match="larger than max"):
            client.infer("buyers", inputs(many))
        assert len(client.infer("buyers", inputs(first(columns, 2))).as_numpy("predict")) == 2


def test_connection_is_encrypted_with_the_certificate(tmp_path: Path) -> None:
    key, certificate = make_certificate(tmp_path)
    with serving(PredictionService(), tls_key=str(key), tls_certificate=str(certificate)) as url:
        credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
        with grpc.secure_channel(url, credentials) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            assert stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=30).live
        with grpc.insecure_channel(url) as channel, pytest.raises(grpc.RpcError) as caught:
            service_pb2_grpc.GRPCInferenceServiceStub(channel).ServerLive(service_pb2.ServerLiveRequest(), timeout=30)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a key, and a certificate of it for 127.0.0.1."""
    pytest.importorskip("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "key.pem", folder / "certificate.pem"
    plain = serialization.NoEncryption()
    paths[0].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption_algorithm=plain)
    )
    paths[1].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return paths


def test_server_without_models_is_live_but_not_ready() -> None:
    with serving(PredictionService()) as url, triton.InferenceServerClient(url) as client:
        assert (client.is_server_live(), client.is_server_ready()) == (True, False)


def test_service_that_was_started_is_left_open(columns: dict[str, Any]) -> None:
    with PredictionService() as service:
        with serving(service):
            pass
        assert service.started


@pytest.mark.parametrize(
    ("block", "message"),
    [({"port": 70000}, "PORT"), ({"tls_key": "k.pem"}, "go together"), ({"workers": 2}, "workers")],
)
def test_wrong_setting_is_refused(block: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        build_server(Context("grpc", block))


def test_missing_certificate_is_named() -> None:
    server = build_server(Context("grpc", {"port": 0, "tls_key": "no.key", "tls_certificate": "no.pem"}))
    with pytest.raises(SettingsError, match=r"no\.key"):
        server.serve(PredictionService())
