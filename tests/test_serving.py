"""A model behind HTTP, in process: formats, errors, limits, and hostile bodies."""

from __future__ import annotations

import gzip
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import make_buyers, serving

from automl import AutoML
from automl.service import ServiceOptions
from automl.serving.api import create_app, make_service
from automl_core import DataError, PluginError, Plugins, SettingsError
from automl_core.settings import load_settings

pytest.importorskip("automl_starlette")
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="session")
def table() -> pa.Table:
    return make_buyers()


@pytest.fixture(scope="session")
def model(table: pa.Table) -> Any:
    return AutoML(max_trials=1, time_limit=30, n_jobs=1).fit(table, target="bought").model_


@pytest.fixture(scope="session")
def rows(table: pa.Table) -> list[dict[str, Any]]:
    return table.drop_columns("bought").slice(0, 20).to_pylist()


@pytest.fixture(scope="session")
def client(model: Any) -> Iterator[httpx.Client]:
    with serving(create_app(model, model_id="v1", max_body=200_000)) as client:
        yield client


def to_csv(rows: list[dict[str, Any]]) -> bytes:
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    return "\n".join(lines).encode()


def to_arrow(rows: list[dict[str, Any]]) -> bytes:
    table, sink = pa.Table.from_pylist(rows), io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


FORMATS = {
    "records": ("application/json", lambda rows: json.dumps(rows).encode()),
    "columns": ("application/json", lambda rows: json.dumps({k: [r[k] for r in rows] for k in rows[0]}).encode()),
    "lists": ("application/json", lambda rows: json.dumps([list(row.values()) for row in rows]).encode()),
    "instances": ("application/json", lambda rows: json.dumps({"instances": rows}).encode()),
    "ndjson": ("application/x-ndjson", lambda rows: "\n".join(map(json.dumps, rows)).encode()),
    "csv": ("text/csv", to_csv),
    "arrow": ("application/vnd.apache.arrow.stream", to_arrow),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same(client, model, rows, name) -> None:
    kind, write = FORMATS[name]
    answer = client.post("/predict?proba=1", content=write(rows), headers={"content-type": kind})
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert said["predictions"] == model.predict(rows).tolist()
    np.testing.assert_allclose(said["probabilities"], model.predict_proba(rows), atol=1e-12)
    assert (said["model"], said["version"], said["classes"]) == ("model", "v1", ["no", "yes"])


def test_single_row_is_one_prediction(client, model, rows) -> None:
    assert client.post("/predict", json=rows[0]).json()["predictions"] == model.predict(rows[:1]).tolist()


@pytest.mark.parametrize("accept", ["text/csv", "application/x-ndjson", "application/vnd.apache.arrow.stream"])
def test_answer_comes_as_accepted(client, model, rows, accept) -> None:
    answer = client.post("/predict", json=rows, headers={"accept": accept})
    assert answer.headers["content-type"] == accept
    if accept == "text/csv":
        said = answer.text.splitlines()[1:]
    elif accept == "application/x-ndjson":
        said = [json.loads(line)["bought"] for line in answer.text.splitlines()]
    else:
        said = pa.ipc.open_stream(answer.content).read_all()["bought"].to_pylist()
    assert said == model.predict(rows).tolist()


def test_contributions_add_up(client, model, rows) -> None:
    said = client.post("/explain", json=rows).json()
    sums = [base + sum(parts.values()) for base, parts in zip(said["base"], said["contributions"], strict=True)]
    np.testing.assert_allclose(sums, model.predict_proba(rows)[:, 1], atol=1e-6)


def test_sagemaker_paths_answer(client, rows) -> None:
    assert client.get("/ping").status_code == 200
    assert client.post("/invocations", json=rows[0]).status_code == 200


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/models", "/models/model", "/stats", "/openapi.json",
                                  "/v2", "/v2/health/live", "/v2/models/model", "/v2/models/model/ready",
                                  "/v2/models/model/versions/v1"])  # fmt: skip
def test_path_answers_json(client, path) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.json() is not None


@pytest.mark.parametrize("path", ["/", "/docs", "/static/page.js", "/static/docs.js", "/static/page.css"])
def test_pages_name_no_other_host(client, path) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert "https://" not in answer.text
    assert "http://" not in answer.text.replace("http://www.w3.org/2000/svg", "")


def test_openapi_knows_the_columns(client, table) -> None:
    row = client.get("/openapi.json").json()["components"]["schemas"]["Row"]
    assert list(row["properties"]) == ["age", "income", "city"]
    assert "Oslo" in row["properties"]["city"]["description"]


@pytest.mark.parametrize("path", ["/predict", "/predict_proba", "/explain"])
def test_examples_of_the_openapi_document_work(client, path) -> None:
    body = client.get("/openapi.json").json()["paths"][path]["post"]["requestBody"]
    for example in body["content"]["application/json"]["examples"].values():
        assert client.post(path, json=example["value"]).status_code == 200


def test_openapi_names_labels_where_they_are_taken(client, model, tmp_path) -> None:
    assert "/labels" not in client.get("/openapi.json").json()["paths"]
    with serving(create_app(model, options=ServiceOptions(ledger=str(tmp_path / "rows.sqlite")))) as other:
        assert "/labels" in other.get("/openapi.json").json()["paths"]


def test_metrics_count(client, rows) -> None:
    def read() -> dict[str, float]:
        lines = [line.split() for line in client.get("/metrics").text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in lines}

    before = read()
    client.post("/predict", json=rows)
    after = read()
    assert after["automl_server_requests_total"] == before["automl_server_requests_total"] + 1
    assert after["automl_server_rows_total"] == before["automl_server_rows_total"] + len(rows)
    assert after["automl_server_latency_seconds_count"] == before["automl_server_latency_seconds_count"] + 1


def test_request_id_comes_back(client, rows) -> None:
    answer = client.post("/predict", json=rows[0], headers={"x-request-id": "abc"})
    assert answer.headers["x-request-id"] == "abc"
    assert client.post("/predict", json=rows[0]).headers["x-request-id"]


# ---- errors


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/predict", {"age": 3}, 400),
        ("/predict", {"age": [1, 2], "income": [1], "city": ["a", "b"]}, 400),
        ("/predict", {"age": {"x": 1}, "income": 1, "city": "a"}, 400),
        ("/predict", {"age": "old", "income": 1, "city": "a"}, 400),
        ("/predict?proba=maybe", {"age": 3, "income": 1, "city": "a"}, 400),
        ("/predict?version=none", {}, 404),
        ("/predict?model=none", {}, 404),
        ("/v2/models/none/infer", {}, 404),
        ("/v2/models/model/versions/1/2/infer", {}, 404),
        ("/predict", [[1, 2, 3, 4, 5, 6]], 400),
        ("/predict", {f"c{i}": i for i in range(10_000)}, 400),
    ],
)
def test_error_is_json(client, path, body, status) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/predict", 405), ("GET", "/nothing", 404), ("POST", "/models", 405)]
)
def test_wrong_path_or_method_is_json(client, method, path, status) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (b"[" * 90_000 + b"]" * 90_000, "", 400),
        (b'{"age":' * 20_000 + b"1" + b"}" * 20_000, "", 400),
        (b'[{"age": NaN, "income": 1, "city": "a"}]', "", 400),
        (b'[{"age": Infinity, "income": 1, "city": "a"}]', "", 400),
        (b'[{"age": 1e999, "income": 1, "city": "a"}]', "", 400),
        (b'[{"age": 1, "income": 1, "city": "\xff"}]', "", 400),
        (gzip.compress(b"[" + b" " * 50_000_000 + b"]"), "gzip", 413),
        (gzip.compress(b"[]")[:-4], "gzip", 400),
    ],
    ids=["deep list", "deep object", "NaN", "Infinity", "huge number", "no UTF-8", "gzip bomb", "cut gzip"],
)
def test_hostile_body_is_refused(client, body, encoding, status) -> None:
    answer = client.post("/predict", content=body, headers={**JSON, "content-encoding": encoding or "identity"})
    assert answer.status_code == status, answer.text[:200]
    assert answer.json()["error"]


def test_a_million_columns_are_refused(model) -> None:
    body = b"{" + b",".join(b'"c%d":1' % i for i in range(1_000_000)) + b"}"
    with serving(create_app(model)) as client:
        answer = client.post("/predict", content=body, headers=JSON)
    assert answer.status_code == 400
    assert len(answer.content) < 2000


def test_access_log_is_a_line_of_json_per_request(model, rows, caplog) -> None:
    with caplog.at_level(logging.INFO, "automl.access"), serving(create_app(model, access_log=True)) as client:
        client.post("/predict", json=rows[0], headers={"x-request-id": "abc"})
        client.post("/predict", json={}, headers={"x-request-id": "def"})
    first, second = (json.loads(record.getMessage()) for record in caplog.records if record.name == "automl.access")
    assert {**first, "status": 200, "request_id": "abc", "path": "/predict", "method": "POST"} == first
    assert {**second, "status": 400, "request_id": "def"} == second
    assert 0 < first["ms"] < 60_000


def test_too_large_body_is_refused(client) -> None:
    assert client.post("/predict", content=b" " * 200_001, headers=JSON).status_code == 413


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4), max_leaves=10)  # fmt: skip
names = st.sampled_from(
    ["age", "income", "city", "rows", "columns", "data", "inputs", "instances", "dataframe_split", "x"]
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=st.dictionaries(names, values) | st.lists(st.dictionaries(names, values), max_size=4) | values)
def test_any_json_gets_an_answer(client, body) -> None:
    answer = client.post("/predict", content=json.dumps(body).encode("utf-8", "surrogatepass"), headers=JSON)
    assert answer.status_code in (200, 400), answer.text
    assert answer.status_code == 200 or answer.json()["error"]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=st.binary(max_size=300), kind=st.sampled_from([*(kind for kind, _ in FORMATS.values()), "application/octet-stream"]),
       path=st.sampled_from(["/predict", "/explain", "/v2/models/model/infer"]))  # fmt: skip
def test_any_bytes_get_an_answer(client, body, kind, path) -> None:
    answer = client.post(path, content=body, headers={"content-type": kind})
    assert answer.status_code in (200, 400), answer.text


tensors = st.fixed_dictionaries(
    {}, optional={"name": names, "datatype": st.sampled_from(["FP64", "INT32", "BYTES", "BOOL", "x", {}, 1]),
                  "shape": st.lists(st.integers(-1, 3), max_size=3) | values, "data": values, "parameters": values}
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=st.fixed_dictionaries({"inputs": st.lists(tensors, max_size=3) | values},
                                  optional={"outputs": values, "parameters": values, "id": values}))  # fmt: skip
def test_any_inference_gets_an_answer(client, body) -> None:
    content = json.dumps(body).encode("utf-8", "surrogatepass")
    answer = client.post("/v2/models/model/infer", content=content, headers=JSON)
    assert answer.status_code in (200, 400), answer.text


# ---- keys and origins


def test_key_is_needed_but_for_health_and_the_page(model, rows) -> None:
    with serving(create_app(model, api_keys=("k1", "k2"))) as client:
        assert client.post("/predict", json=rows[0]).status_code == 401
        assert client.get("/models").status_code == 401
        assert client.get("/metrics").status_code == 401
        assert client.post("/predict", json=rows[0], headers={"x-api-key": "k2"}).status_code == 200
        assert client.get("/models", headers={"authorization": "Bearer k1"}).status_code == 200
        for path in ("/", "/health/ready", "/v2/health/live", "/ping"):
            assert client.get(path).status_code == 200


def test_origins_are_allowed_when_named(model) -> None:
    with serving(create_app(model, cors_origins=("https://a.example",))) as client:
        headers = {"origin": "https://a.example", "access-control-request-method": "POST"}
        assert client.options("/predict", headers=headers).status_code == 200
        assert client.options("/predict", headers={**headers, "origin": "https://b.example"}).status_code == 400


# ---- the protocol's tensors


def test_tensors_by_column_and_as_a_matrix(client, model, rows) -> None:
    columns = [
        {"name": "age", "datatype": "INT64", "shape": [20, 1], "data": [[row["age"]] for row in rows]},
        {"name": "income", "datatype": "FP64", "shape": [20], "data": [row["income"] for row in rows]},
        {"name": "city", "datatype": "BYTES", "shape": [20], "data": [row["city"] for row in rows]},
    ]
    said = client.post("/v2/models/model/infer", json={"inputs": columns, "id": "7"}).json()
    assert said["id"] == "7"
    assert said["model_version"] == "v1"
    assert said["outputs"][0]["data"] == model.predict(rows).tolist()
    np.testing.assert_allclose(np.reshape(said["outputs"][1]["data"], (20, 2)), model.predict_proba(rows))
    flat = [value for row in rows for value in row.values()]
    matrix = [{"name": "all", "datatype": "BYTES", "shape": [20, 3], "data": flat}]
    again = client.post("/v2/models/model/infer", json={"inputs": matrix}).json()
    assert again["outputs"][0]["data"] == said["outputs"][0]["data"]


def test_public_client_sends_strings_and_gets_labels(client, model, rows) -> None:
    client_of = pytest.importorskip("tritonclient.http")
    from tritonclient.utils import InferenceServerException

    public = client_of.InferenceServerClient(client.base_url.netloc.decode())
    assert "binary_tensor_data" in public.get_server_metadata()["extensions"]
    assert public.is_model_ready("model", "v1")
    described = public.get_model_metadata("model", "v1")
    inputs = []
    for item in described["inputs"]:
        kind = {"FP64": np.float64, "BYTES": object}[item["datatype"]]
        tensor = client_of.InferInput(item["name"], [len(rows)], item["datatype"])
        tensor.set_data_from_numpy(np.array([row[item["name"]] for row in rows], dtype=kind))
        inputs.append(tensor)
    said = public.infer("model", inputs, model_version="v1", request_compression_algorithm="gzip")
    assert [label.decode() for label in said.as_numpy("predict")] == model.predict(rows).tolist()
    np.testing.assert_allclose(said.as_numpy("predict_proba"), model.predict_proba(rows))
    with pytest.raises(InferenceServerException, match="no model 'other'"):
        public.infer("other", inputs)
    with pytest.raises(InferenceServerException, match="lacks the column"):
        public.infer("model", inputs[:1])
    public.close()


# ---- challengers


@pytest.fixture(scope="session")
def places(table: pa.Table, model: Any, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("models")
    settings = load_settings(learners="sklearn")
    other = AutoML(max_trials=1, time_limit=30, n_jobs=1, seed=1, settings=settings).fit(
        table.slice(50), target="bought"
    )
    for name, one in (("a", model), ("b", other.model_)):
        one.save(folder / name)
    return [str(folder / "a"), str(folder / "b")]


def test_challenger_answers_its_share(places, rows) -> None:
    with serving(create_app(places[0], model_id="champion", challengers={places[1]: 0.5})) as client:
        versions = [client.post("/predict", json=rows[0]).json()["version"] for _ in range(60)]
        same = {client.post("/predict?key=ann", json=rows[0]).json()["version"] for _ in range(10)}
    assert 5 < versions.count("champion") < 55
    assert len(same) == 1


def test_shadow_answers_nobody(places, rows) -> None:
    service = make_service(places[0], model_id="champion", challengers={places[1]: 0.0})
    with service:
        assert {service.predict(rows[0]).served.version for _ in range(20)} == {"champion"}
        assert len(service.models()) == 2


@pytest.mark.parametrize("share", [1.0, -0.1])
def test_wrong_share_is_told(places, share) -> None:
    with pytest.raises(SettingsError, match="sum to less than 1"):
        make_service(places[0], challengers={places[1]: share})


def test_champion_and_challenger_each_follow_their_alias_when_they_meet(places, rows, tmp_path: Path) -> None:
    own = load_settings(trackers=("journal",), directory=str(tmp_path))
    registry = Plugins(own).build("tracker", "journal")
    one, two = (registry.register("m", Path(place)) for place in places)
    registry.alias("m", "champion", one)
    registry.alias("m", "challenger", one)  # as after a promotion
    aliases = {"models:/m@challenger": 0.5}
    service = make_service("models:/m@champion", challengers=aliases, settings=own)

    def served() -> dict[str, bytes]:
        service._watcher.look()
        said = {answer.served for answer in (service.predict(rows[0]) for _ in range(60))}
        assert len(said) == 2
        return {"challenger" if one.version.startswith("challenger-") else "champion": one.token for one in said}

    with service:
        first, second = (service.add(place, name=place).token for place in places)
        assert served() == {"champion": first, "challenger": first}
        registry.alias("m", "challenger", two)
        assert served() == {"champion": first, "challenger": second}
        registry.alias("m", "champion", two)
        assert served() == {"champion": second, "challenger": second}
        registry.alias("m", "challenger", one)
        assert served() == {"champion": second, "challenger": first}


def test_champion_stands_in_until_there_is_a_challenger(places, rows, tmp_path: Path, caplog) -> None:
    own = load_settings(trackers=("journal",), directory=str(tmp_path))
    registry = Plugins(own).build("tracker", "journal")
    one, two = (registry.register("m", Path(place)) for place in places)
    registry.alias("m", "champion", one)
    service = make_service("models:/m@champion", challengers={"models:/m@challenger": 0.0}, settings=own)
    assert "is the champion itself as yet" in caplog.text
    with service:
        champion, shadow = service.models()
        assert shadow.token == champion.token
        registry.alias("m", "challenger", two)
        service._watcher.look()
        champion, shadow = service.models()
        assert shadow.token == service.add(places[1], name="other").token != champion.token
        assert service.predict(rows[0]).served is champion
    with pytest.raises(DataError, match="no such model"):
        make_service("models:/m@nobody", settings=own)


def test_challengers_of_the_environment_are_read(monkeypatch) -> None:
    from automl.serving.environment import read_environment

    monkeypatch.setenv("AUTOML_MODEL_URI", "m.automl")
    monkeypatch.setenv("AUTOML_SERVER_CHALLENGERS", "models:/m@b=0.1, s3://x/y?a=b=0")
    assert read_environment().challengers == {"models:/m@b": 0.1, "s3://x/y?a=b": 0.0}
    monkeypatch.setenv("AUTOML_SERVER_CHALLENGERS", "b.automl")
    with pytest.raises(SettingsError, match="needs a share"):
        read_environment()


# ---- what is missing


def test_environment_without_a_model_is_told(monkeypatch) -> None:
    import automl.serving.api as api

    monkeypatch.delenv("AUTOML_MODEL_URI", raising=False)
    with pytest.raises(SettingsError, match="AUTOML_MODEL_URI"):
        _ = api.app


def test_unknown_option_of_the_environment_is_told(monkeypatch) -> None:
    from automl.serving.environment import read_options

    with pytest.raises(SettingsError, match="Did you mean 'AUTOML_SERVER_MAX_ROWS'"):
        read_options({"AUTOML_SERVER_MAX_ROW": "5"})
    assert read_options({"AUTOML_SERVER_MAX_ROWS": "5", "AUTOML_SERVER_DEADLINE": "0.5"}).max_rows == 5


def test_redis_of_the_environment_becomes_the_cache(monkeypatch) -> None:
    from automl.serving.environment import read_environment

    monkeypatch.setenv("AUTOML_MODEL_URI", "m.automl")
    assert read_environment().settings.cache == "memory"
    monkeypatch.setenv("REDIS_HOST", "redis")
    assert read_environment().settings.cache == "redis"


def test_server_that_is_not_there_is_told(model) -> None:
    from automl.serving.api import run_server
    from automl_core.settings import load_settings

    with pytest.raises(PluginError, match="not installed"):
        run_server(model, settings=load_settings(server="granian"))


def test_labels_come_later_by_request_id(model, rows, tmp_path) -> None:
    with serving(create_app(model, options=ServiceOptions(ledger=str(tmp_path / "rows.sqlite")))) as client:
        client.post("/predict", json=rows[0], headers={"x-request-id": "mine"})
        many = client.post("/predict", json=rows).headers["x-request-id"]
        labels = [{"request_id": "mine", "truth": "no"}, {"request_id": many, "truth": ["yes"] * len(rows)}]
        answer = client.post("/labels", json=labels)
        assert (answer.status_code, sum(answer.json().values())) == (200, 2)
        assert client.get("/stats").json()["totals"]["requests"] == 2
        refused = client.post("/labels", json={"request_id": "mine"})
        assert (refused.status_code, "truth" in refused.json()["error"]) == (400, True)


def test_labels_need_a_ledger(client) -> None:
    answer = client.post("/labels", json={"request_id": "a", "truth": 1})
    assert (answer.status_code, "ledger" in answer.json()["error"]) == (400, True)
