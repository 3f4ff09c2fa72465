"""The server against its own OpenAPI document: requests made up from it, right ones and wrong ones."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from served import fit_buyers, serving

from automl.service import ServiceOptions
from automl.serving.api import create_app

pytest.importorskip("automl_starlette")
schemathesis = pytest.importorskip("schemathesis")
negative_data_rejection = schemathesis.checks.negative_data_rejection
POSTS = ("/predict", "/predict_proba", "/explain", "/labels")
GETS = ("/models", "/models/{name}", "/metrics", "/health/live", "/health/ready")
RIGHT, WRONG = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
MANY = settings(
    max_examples=60, derandomize=True, database=None, deadline=None, phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    ledger = tmp_path_factory.mktemp("ledger") / "rows.sqlite"
    with serving(create_app(fit_buyers(), model_id="v1", options=ServiceOptions(ledger=str(ledger)))) as client:
        yield client


@pytest.fixture(scope="module")
def document(server: httpx.Client) -> dict[str, Any]:
    return dict(server.get("/openapi.json").json())


@pytest.fixture(scope="module")
def schema(server: httpx.Client, document: dict[str, Any]) -> Any:
    narrowed = deepcopy(document)
    for path in POSTS[:3]:
        # Which versions there are changes while a server runs, so the document names none.
        (version,) = (item for item in narrowed["paths"][path]["post"]["parameters"] if item["name"] == "version")
        version["schema"]["enum"] = ["", "v1"]
    schema = schemathesis.openapi.from_dict(narrowed)
    schema.config.update(base_url=str(server.base_url).rstrip("/"))
    return schema


def test_all_paths_are_tried(document) -> None:
    described = {(path, method) for path, told in document["paths"].items() for method in told}
    assert described == {(path, "post") for path in POSTS} | {(path, "get") for path in GETS}


@pytest.mark.parametrize("path", [*POSTS, *GETS])
def test_right_requests_are_answered_as_described(schema, path) -> None:
    operation = schema[path]["POST" if path in POSTS else "GET"]
    seen = []

    @MANY
    @given(case=operation.as_strategy(generation_mode=RIGHT))
    def ask(case: Any) -> None:
        seen.append(case.call_and_validate().status_code)

    ask()
    assert set(seen) == {200}


@pytest.mark.parametrize("path", POSTS)
def test_wrong_requests_are_refused_as_described(schema, path) -> None:
    seen = []

    @MANY
    @given(case=schema[path]["POST"].as_strategy(generation_mode=WRONG))
    def ask(case: Any) -> None:
        # A number may also come as a truth value or as text, as in CSV: not all that the schema excludes is refused.
        seen.append(case.call_and_validate(excluded_checks=[negative_data_rejection]).status_code)

    ask()
    assert seen.count(400) > len(seen) // 4
    assert set(seen) <= {200, 400, 404}
