"""The prediction service: the same answers as the model, under every way to ask, limit, reload and fail."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event as Flag
from typing import Any

import numpy as np
import pytest

from automl.predictor import Opaque, Predictor
from automl.service import Expired, Overloaded, PredictionService, ServiceOptions, Unknown, events
from automl.service.answers import TooManyRows
from automl.service.rows import RowCache
from automl_core import Cache, DataError, Event, Monitor, SettingsError


class Slow:
    """A member without a flat form that takes its time; counts its calls and rows."""

    def __init__(self, seconds: float = 0.002) -> None:
        self.seconds, self.calls, self.rows = seconds, 0, 0

    def predict(self, values: np.ndarray) -> np.ndarray:
        self.calls, self.rows = self.calls + 1, self.rows + len(values)
        time.sleep(self.seconds)
        if (values[:, 0] == 666).any():
            raise ValueError("this row is cursed")
        share = 1 / (1 + np.exp(-values[:, 0] / 50))
        return np.column_stack([1 - share, share])


def slowed(model: Any, slow: Slow) -> Any:
    from automl.model import Model

    predictor = Predictor(
        [],
        [Opaque("slow", None, slow, keep=np.arange(len(model.encoder.columns)), derived=(), weight=1.0)],
        classes=2,
        columns=len(model.encoder.columns),
    )
    return Model(model.encoder, predictor, task="binary", schema=model.schema, classes=("no", "yes"), target="bought")


class Dictionary(Cache):
    """A second cache in memory; slow or failing on demand."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.reads = 0
        self.error: Exception | None = None

    def get(self, key: str) -> bytes | None:
        return self.get_many([key])[0]

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        self.reads += 1
        if self.error:
            raise self.error
        return [self.values.get(key) for key in keys]

    def set(self, key: str, value: bytes, *, ttl: float | None = None) -> None:
        self.set_many({key: value})

    def set_many(self, items: Mapping[str, bytes], *, ttl: float | None = None) -> None:
        if self.error:
            raise self.error
        self.values.update(items)

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


@pytest.fixture
def serve() -> Any:
    made: list[PredictionService] = []

    def start(model: Any, **options: Any) -> PredictionService:
        cache = options.pop("second", None)
        service = PredictionService(options=ServiceOptions(**options), cache=cache)
        service.add(model)
        service.start()
        made.append(service)
        return service

    yield start
    for service in made:
        service.close()


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_service_says_what_the_model_says(serve, make_model, rows, task) -> None:
    model = make_model(task=task)
    service = serve(model)
    assert service.predict(rows).labels.tolist() == model.predict(rows).tolist()
    assert [service.predict(row).labels[0] for row in rows[:20]] == model.predict(rows[:20]).tolist()


def test_same_row_in_other_words_is_a_hit(serve, model) -> None:
    service = serve(model)
    first = service.predict({"age": 30, "income": 1000, "city": "Oslo"})
    again = service.predict({"city": "Oslo", "income": 1e3, "age": 30.0, "unknown": 7})
    assert (first.hits, again.hits) == (0, 1)
    np.testing.assert_array_equal(first.said, again.said)


def test_too_many_rows_are_refused(serve, model, rows) -> None:
    with pytest.raises(TooManyRows, match="300 rows; at most 10"):
        serve(model, max_rows=10).predict(rows)
    with pytest.raises(TooManyRows):
        serve(model, max_rows=10).predict({name: [row[name] for row in rows] for name in rows[0]})


@pytest.mark.parametrize(("name", "version"), [("other", ""), ("", "2"), ("model", "none")])
def test_unknown_model_lists_what_there_is(serve, model, rows, name, version) -> None:
    with pytest.raises(Unknown, match=r"there are: model|it has: "):
        serve(model).predict(rows[0], name=name, version=version)


def test_bad_data_is_told_and_answers_go_on(serve, model, rows) -> None:
    service = serve(model)
    with pytest.raises(DataError, match="lacks the column"):
        service.predict({"age": 3})
    assert service.predict(rows[0]).rows == 1


# ---- slow models are batched


def test_slow_model_is_batched_while_busy(serve, model, rows) -> None:
    slow = Slow(0.01)
    service = serve(slowed(model, slow))
    slow.calls = 0
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(service.predict, rows[:200]))
    expected = service.models()[0].model.predict_proba(rows[:200])
    np.testing.assert_allclose(np.concatenate([answer.said for answer in answers]), expected)
    assert slow.calls < 60  # one by one there would be 200


def test_bad_row_in_a_batch_fails_alone(serve, model, rows) -> None:
    service = serve(slowed(model, Slow(0.01)))
    asked = [{**row, "age": 666} if number == 5 else row for number, row in enumerate(rows[:16])]
    futures = [service.begin(row) for row in asked]
    failed = [number for number, future in enumerate(futures) if future.exception() is not None]
    assert failed == [5]


def test_equal_rows_in_a_queue_are_predicted_once(serve, model, rows) -> None:
    slow = Slow(0.05)
    service = serve(slowed(model, slow))
    slow.rows = 0
    futures = [service.begin(rows[0]) for _ in range(20)]
    assert len({future.result().said.tobytes() for future in futures}) == 1
    assert slow.rows <= 2  # one that ran alone, one for all that waited


def test_what_would_wait_too_long_is_refused_at_once(serve, model, rows) -> None:
    service = serve(slowed(model, Slow(0.2)), deadline=0.01)
    service.models()[0].row = 0.2
    futures = [service.begin(rows[0])]
    with pytest.raises(Overloaded) as refused:
        futures += [service.begin(row) for row in rows[:50]]
    assert refused.value.retry_after > 0


def test_expired_rows_are_not_predicted(serve, model, rows) -> None:
    slow = Slow(0.1)
    service = serve(slowed(model, slow), deadline=5.0)
    service.models()[0].row = 0.0
    first = service.begin(rows[0])
    time.sleep(0.02)
    late = service.begin(rows[1], deadline=0.01)
    assert first.result().rows == 1
    with pytest.raises(Expired):
        late.result()


# ---- the second cache


def test_second_cache_is_shared_between_services(serve, model, rows) -> None:
    shared, slow = Dictionary(), Slow()
    serve(slowed(model, slow), second=shared, cache="always").predict(rows[:20])
    other = serve(slowed(model, slow), second=shared, cache="always")
    slow.rows = 0
    # Members without a form in a file have no digest in common: a service of its own is another model.
    assert other.predict(rows[:20]).hits == 0
    fast = serve(model, second=shared, cache="always")
    twin = serve(model, second=shared, cache="always")
    fast.predict(rows[:20])
    assert twin.predict(rows[:20]).hits == 20
    np.testing.assert_array_equal(twin.predict(rows[:20]).said, model.predict_proba(rows[:20]))


def test_second_cache_is_left_alone_where_it_does_not_pay(serve, model, rows) -> None:
    shared = Dictionary()
    service = serve(model, second=shared)
    service.known.second.lookup = 1.0
    reads = shared.reads
    service.predict(rows)
    assert shared.reads == reads


def test_second_cache_is_asked_where_it_pays(serve, model, rows) -> None:
    shared = Dictionary()
    service = serve(slowed(model, Slow()), second=shared)
    service.predict(rows[:10])
    assert len(shared.values) == 10


@pytest.mark.parametrize("junk", [b"", b"x", b"0" * 17])
def test_junk_in_the_second_cache_is_a_miss(serve, model, rows, junk) -> None:
    shared = Dictionary()
    service = serve(model, second=shared, cache="always")
    service.predict(rows[:5])
    shared.values = dict.fromkeys(shared.values, junk)
    service.known.local.clear()
    np.testing.assert_array_equal(service.predict(rows[:5]).said, model.predict_proba(rows[:5]))


def test_failing_second_cache_costs_nothing_but_a_line(serve, model, rows, caplog) -> None:
    shared = Dictionary()
    service = serve(model, second=shared, cache="always")
    shared.error = ConnectionError("gone")
    assert service.predict(rows[:5]).rows == 5
    assert "the cache failed" in caplog.text


# ---- versions


def test_weights_share_the_traffic(serve, model, make_model, rows) -> None:
    service = serve(model)
    first = service.models()[0].version
    service.add(make_model(slope=-0.1), version="b")
    assert {service.predict(row).served.version for row in rows[:50]} == {first}
    service.route("model", {first: 0.7, "b": 0.3})
    counts = [service.predict(row).served.version for row in rows for _ in range(4)].count("b")
    assert 240 < counts < 480  # 360 expected, six deviations
    assert len({service.predict(row, key="user 7").served.version for row in rows}) == 1


def test_wrong_weights_are_refused(serve, model) -> None:
    service = serve(model)
    with pytest.raises(SettingsError, match="no version"):
        service.route("model", {"b": 1.0})
    with pytest.raises(SettingsError, match="positive"):
        service.route("model", {})


def test_removed_version_is_gone(serve, model, make_model, rows) -> None:
    service = serve(model)
    service.add(make_model(slope=0.2), version="b")
    service.remove("model", "b")
    with pytest.raises(Unknown):
        service.predict(rows[0], version="b")
    with pytest.raises(SettingsError, match="no version"):
        service.remove("model", service.models()[0].version)


def test_reload_under_load_answers_from_exactly_one_version(make_model, rows, tmp_path) -> None:
    path = tmp_path / "m.automl"
    models = [make_model(slope=slope) for slope in (0.05, 0.2)]
    expected = {}
    models[0].save(path)
    service = PredictionService(options=ServiceOptions(reload_seconds=0.01))
    service.add(path, version="v")
    with service:
        expected[service.models()[0].version] = models[0].predict_proba(rows[:8])
        stop = time.monotonic() + 2
        seen, wrong = set(), 0
        number = 0

        def ask() -> list[Any]:
            answers = []
            while time.monotonic() < stop:
                answers.append(service.predict(rows[:8]))
                time.sleep(0.001)
            return answers

        with ThreadPoolExecutor(3) as pool:
            futures = [pool.submit(ask) for _ in range(3)]
            while time.monotonic() < stop:
                number += 1
                models[number % 2].save(path)
                time.sleep(0.02)
            answers = [answer for future in futures for answer in future.result()]
        for answer in answers:
            seen.add(answer.served.version)
            wrong += not np.array_equal(answer.said, answer.served.model.predict_proba(rows[:8]))
        assert wrong == 0
        assert len(seen) >= 2
        assert service.counters.totals()["reloads"] > 5


def test_file_that_is_added_later_is_followed_too(model, make_model, rows, tmp_path) -> None:
    path = tmp_path / "model.automl"
    model.save(path)
    with PredictionService(options=ServiceOptions(reload_seconds=0.01)) as service:
        first = service.add(path)
        make_model(slope=0.2).save(path)
        deadline = time.monotonic() + 60
        while service.find().version == first.version:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_damaged_file_leaves_the_old_model_in_service(model, rows, tmp_path, caplog) -> None:
    path = tmp_path / "m.automl"
    model.save(path)
    service = PredictionService(options=ServiceOptions(reload_seconds=0.01))
    service.add(path)
    with service:
        path.write_bytes(b"no model")
        deadline = time.monotonic() + 60
        while "stays in service" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)  # it is looked at again, and said no second time
        assert service.predict(rows[0]).rows == 1
    assert caplog.text.count("stays in service") == 1


# ---- monitors


class Ears(Monitor):
    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)


def listening(service: PredictionService, monitor: Monitor) -> None:
    service.monitors = {"ears": monitor}
    service._start_pump()


def test_monitors_hear_of_every_row(serve, model, rows) -> None:
    service, ears = serve(model), Ears()
    listening(service, ears)
    service.predict(rows[0])
    service.predict(rows[:10])
    service.predict({name: [row[name] for row in rows[:5]] for name in rows[0]})
    service.failed("model", "DataError")
    service.close()
    told = [event.attributes for event in ears.events if event.name == "prediction"]
    assert sum(item["rows"] for item in told) == 16
    assert sum(item["requests"] for item in told) == 3
    ages = [age for item in told for age in item["inputs"]["age"]]
    assert ages == [row["age"] for row in [rows[0], *rows[:10], *rows[:5]]]
    labels = [label for item in told for label in item["predictions"]]
    assert labels == model.predict([rows[0], *rows[:10], *rows[:5]]).tolist()
    assert [e.attributes["errors"] for e in ears.events if e.name == "failure"] == [{"DataError": 1}]


@pytest.mark.parametrize("form", ["lists", "array", "records", "table", "frame", "columns", "rows"])
def test_monitors_see_the_first_rows_of_any_form(serve, model, rows, form) -> None:
    import pyarrow as pa

    service, ears = serve(model, sample_rows=3), Ears()
    listening(service, ears)
    lists = [[row[name] for name in model.encoder.inputs] for row in rows[:4]]
    table = pa.Table.from_pylist(rows[:4])
    kinds = [(name, object) for name in model.encoder.inputs]
    forms = {
        "lists": lists,
        "array": np.array(lists, dtype=object),
        "records": np.array([tuple(row) for row in lists], dtype=kinds),
        "table": table,
        "frame": table.to_pandas(),
        "columns": table.to_pydict(),
        "rows": rows[:4],
    }
    service.predict(forms[form])
    service.close()
    (told,) = (event.attributes for event in ears.events if event.name == "prediction")
    assert told["inputs"] == {name: [row[name] for row in rows[:3]] for name in model.names}
    assert (told["rows"], len(told["predictions"])) == (4, 3)


def test_monitors_see_so_many_rows_a_second_and_hear_of_all(serve, model, rows) -> None:
    service, ears = serve(model, sample_rows=20), Ears()
    listening(service, ears)
    began = time.monotonic()
    for number in range(300):
        service.predict(rows[number % len(rows)])
    service.predict(rows[:30])
    took = time.monotonic() - began
    service.close()
    told = [event.attributes for event in ears.events if event.name == "prediction"]
    assert sum(item["rows"] for item in told) == 330
    assert sum(item["requests"] for item in told) == sum(len(item["seconds"]) for item in told) == 301
    seen = [len(item["inputs"]["age"]) for item in told]
    assert seen == [len(item["predictions"]) for item in told] == [len(item["certainties"] or ()) for item in told]
    assert max(seen) <= 20 <= sum(seen) <= 40 + 20 * took


@pytest.mark.parametrize("sample_rows", [10, 0])
def test_monitors_hear_of_requests_of_which_they_see_no_row(
    serve, model, rows, caplog, monkeypatch: pytest.MonkeyPatch, sample_rows
) -> None:
    monkeypatch.setattr(events, "monotonic", lambda: 0.0)  # there never is room for more
    service, ears = serve(model, sample_rows=sample_rows), Ears()
    listening(service, ears)
    told: list[Mapping[str, Any]] = []
    for count in (10, 10, 1):
        service.predict(rows[:count])
        until = time.monotonic() + 30
        known = len(told)
        while len(told) == known and time.monotonic() < until:
            time.sleep(0.005)
            told = [event.attributes for event in ears.events if event.name == "prediction"]
    assert [item["rows"] for item in told] == [10, 10, 1]
    assert [len(item["inputs"]["age"]) for item in told] == [sample_rows, 0, 0]
    assert "cannot be told" not in caplog.text


def test_shadow_predicts_for_monitors_alone(serve, model, make_model, rows) -> None:
    service, ears = serve(model, sample_rows=4), Ears()  # shadows see all
    service.add(make_model(slope=-0.1), version="b")
    listening(service, ears)
    service.route("model", {service.models()[0].version: 1.0}, shadows=["b"])
    for _ in range(2):
        assert service.predict(rows[:10]).served.version != "b"
    service.close()
    assert [e.attributes["rows"] for e in ears.events if e.attributes.get("shadow")] == [10, 10]


def test_monitor_that_raises_hurts_nobody(serve, model, rows) -> None:
    class Broken(Ears):
        def emit(self, event: Event) -> None:
            super().emit(event)
            raise RuntimeError("broken")

    service, broken = serve(model), Broken()
    listening(service, broken)
    service.predict(rows[0])
    service.close()
    assert [event.name for event in broken.events] == ["model", "prediction"]


def test_monitor_that_hangs_holds_up_no_prediction_and_no_shutdown(
    serve, model, rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "PATIENCE", 0.1)
    hung, free = Flag(), Flag()

    class Hanging(Monitor):
        def emit(self, event: Event) -> None:
            hung.set()
            free.wait(60)

    service = serve(model, max_events=3)
    listening(service, Hanging())
    assert hung.wait(60)
    said = [service.predict(row).rows for row in rows[:10]]
    assert not free.is_set()
    service.close()
    dropped = service.counters.totals()["dropped_events"]
    free.set()
    assert (sum(said), dropped) == (10, 7)


# ---- parts


def test_row_cache_stays_within_its_limit() -> None:
    cache = RowCache(100)
    for number in range(1000):
        cache.set(b"%d" % number, b"x")
    assert len(cache) <= 100
    assert cache.get(b"999") == b"x"
    assert cache.get(b"0") is None


def test_row_cache_keeps_what_is_used() -> None:
    cache = RowCache(100)
    cache.set(b"hot", b"x")
    for number in range(1000):
        cache.set(b"%d" % number, b"x")
        assert cache.get(b"hot") == b"x"


@pytest.mark.parametrize("wrong", [{"cache": "sometimes"}, {"max_rows": 0}, {"local_rows": -1}])
def test_wrong_options_are_told(wrong) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        ServiceOptions(**wrong)
