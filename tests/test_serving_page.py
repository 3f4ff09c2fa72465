"""The server's page in a real browser: it predicts and explains, on a desk, on a phone, by keyboard, and in the dark."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pyarrow as pa
import pytest
from deployment import need
from served import fit_buyers, make_buyers, serving

from automl.serving.api import create_app
from automl_core.settings import load_settings

pytest.importorskip("automl_starlette")
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
HOSTILE = "<img src=x onerror=alert(1)> & a name that is as long as no screen of a phone is wide"
# The contrast of WCAG 2 between the text of an element and the nearest background behind it.
CONTRAST = """element => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((x) => (x /= 255) <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ink = light(parse(getComputedStyle(element).color));
  let behind = element, paper;
  do { paper = parse(getComputedStyle(behind).backgroundColor); behind = behind.parentElement; } while (paper[3] === 0 && behind);
  paper = light(paper);
  return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
}"""


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return make_buyers()


@pytest.fixture(scope="module")
def model(table: pa.Table) -> Any:
    return fit_buyers(table)


@pytest.fixture(scope="module")
def server(model: Any) -> Iterator[httpx.Client]:
    with serving(create_app(model, model_id="v1")) as client:
        yield client


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    need("chromium", "chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        words = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=words)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a page; in the end no script failed, and no other host was asked."""
    contexts, faults, hosts = [], [], set()

    def go(client: httpx.Client, path: str = "/", **screen: Any) -> Any:
        contexts.append(browser.new_context(base_url=str(client.base_url), **screen))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: hosts.add(httpx.URL(request.url).netloc))
        page.goto(path)
        return page

    yield go
    for context in contexts:
        context.close()
    assert faults == []
    assert len(hosts) == 1


def predict(page: Any) -> None:
    page.get_by_role("button", name="Predict").click()
    page.locator("#result h2").wait_for()  # above the contributions, which come last


def bars(page: Any, heading: str) -> dict[str, str]:
    """Return what is written at both ends of the bars under a heading."""
    found = page.locator(f"#result :text-is('{heading}') ~ .bar")
    return dict([one.split("\n") for one in found.all_inner_texts()])


def overhang(page: Any) -> int:
    """Return by how many pixels the page is wider than the screen."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def test_form_predicts_and_says_why(visit, server, model) -> None:
    page = visit(server)
    row = {"age": 25.0, "income": 51.5, "city": "Bern"}
    page.get_by_label("age").fill("25")
    page.get_by_label("income").fill("51.5")
    page.get_by_label("city").select_option("Bern")
    predict(page)
    assert page.locator(".said").inner_text() == model.predict(row)[0]
    shown = bars(page, "What speaks for yes")
    wanted = dict(zip(model.names, model.predict_contributions(row)[0, :-1, 1].tolist(), strict=True))
    assert {name: float(text) for name, text in shown.items()} == pytest.approx(wanted, rel=1e-3)
    no, yes = model.predict_proba(row)[0]
    texts = page.locator("#result .bar").all_inner_texts()
    assert texts[:2] == [f"no\n{100 * no:.1f} %", f"yes\n{100 * yes:.1f} %"]


def test_card_shows_the_model(visit, server) -> None:
    page = visit(server)
    card = page.locator("#card")
    card.get_by_text("roc_auc").wait_for()
    assert {"binary", "v1", "400", "no, yes"} <= set(card.locator("dd").all_inner_texts())
    shares = page.locator("#importance .bar").all_inner_texts()
    assert sorted(text.split("\n")[0] for text in shares) == ["age", "city", "income"]


def test_charts_follow_requests(visit, server) -> None:
    page = visit(server)
    charts = {
        name: page.locator(".chart", has_text=name).locator("b")
        for name in ("Requests / s", "Rows / s", "Mean latency, µs", "Cache hits, %")
    }
    charts["Rows / s"].wait_for()
    rising = set(charts)
    for _ in range(60):
        for _ in range(20):
            server.post("/predict", json={"age": 30, "income": 1, "city": "Oslo"})  # known after the first
        rising -= {name for name in rising if charts[name].inner_text() != "0"}
        if not rising:
            break
        page.wait_for_timeout(200)
    assert rising == set()


def test_drift_is_shown_with_its_feature(visit, model) -> None:
    pytest.importorskip("automl_drift")
    watched = load_settings(monitors=("drift",), plugins={"drift": {"interval": 0.1}})
    with serving(create_app(model, settings=watched)) as client:
        page = visit(client)
        rows = [{"age": 30 + i % 9, "income": 150.0 + i % 7, "city": "Oslo"} for i in range(500)]
        for _ in range(10):
            client.post("/predict", json=rows)
        page.locator("#charts .told", has_text="drift").wait_for()
        named = page.locator("#charts .bar", has_text="income")
        named.wait_for()
        assert "drift" in named.inner_text()


def test_estimate_and_faults_of_a_feed_are_shown(visit, table, model) -> None:
    pytest.importorskip("automl_drift")
    watched = load_settings(monitors=("drift",), plugins={"drift": {"interval": 0.1}})
    rows = table.select(model.names).to_pylist()
    with serving(create_app(model, settings=watched)) as client:
        client.post("/predict", json=[{**row, "city": "Atlantis"} if i % 5 == 0 else row for i, row in enumerate(rows)])
        page = visit(client)
        told = page.locator("#charts .told")
        told.filter(has_text="accuracy without labels: 0.").wait_for()
        told.filter(has_text="Not to be trusted").filter(has_text="'city'").wait_for()
        told.filter(has_text="city: unseen in").wait_for()


def test_error_is_shown_where_the_answer_would_be(visit, server) -> None:
    page = visit(server)
    page.get_by_label("age").wait_for()
    page.route("**/predict_proba", lambda route: route.fulfill(status=429, json={"error": "17 rows wait already."}))
    page.get_by_role("button", name="Predict").click()
    assert page.locator("#result .bad").inner_text() == "17 rows wait already."


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_phone_needs_no_sideways_scroll(visit, server, path) -> None:
    page = visit(server, path, **PHONE)
    page.locator("section").last.wait_for()
    assert overhang(page) <= 0
    if path == "/":
        predict(page)
        assert overhang(page) <= 0
        width = page.locator("#result .bar svg").first.bounding_box()["width"]
        assert width > 100  # bars stay legible


def test_hostile_and_long_names_are_text_that_fits(visit, table) -> None:
    names = {"age": HOSTILE, "bought": "x" * 200}
    renamed = table.rename_columns([names.get(name, name) for name in table.column_names])
    model = fit_buyers(renamed, names["bought"])
    with serving(create_app(model)) as client:
        page = visit(client, **PHONE)
        page.get_by_label(HOSTILE).wait_for()
        predict(page)
        assert HOSTILE in page.locator("#result").inner_text()
        assert page.locator("img").count() == 0
        assert overhang(page) <= 0


def test_keyboard_is_enough(visit, server) -> None:
    page = visit(server)
    page.get_by_label("city").wait_for()
    reached = []
    for _ in range(30):
        page.keyboard.press("Tab")
        focused = page.evaluate_handle("document.activeElement")
        reached.append(focused.evaluate("e => e.labels && e.labels.length ? e.labels[0].textContent : e.textContent"))
        assert focused.evaluate("e => getComputedStyle(e).outlineStyle") == "solid", reached
        if reached[-1] == "Predict":
            break
        if reached[-1] == "age":
            page.keyboard.press("ControlOrMeta+a")
            page.keyboard.type("33")
    assert reached == ["API", "Metrics", "OpenAPI", "age", "income", "city", "Predict"]
    page.keyboard.press("Enter")
    page.locator("#result .said").wait_for()
    assert page.get_by_label("age").input_value() == "33"
    assert page.locator("#result").get_attribute("aria-live") == "polite"  # a screen reader says it


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/docs"])
def test_text_stands_out_in_the_light_and_in_the_dark(visit, server, path, scheme) -> None:
    page = visit(server, path, color_scheme=scheme)
    page.locator("section").last.wait_for()
    if path == "/":
        predict(page)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(background) < 64) == (scheme == "dark")
    words = page.locator("h1, h2, #subtitle, a, dt, dd, label, input, select, button:visible, .bar span, .said, pre")
    contrasts = words.evaluate_all(f"all => all.map({CONTRAST})")
    assert len(contrasts) > 10
    assert min(contrasts) >= 4.5


def test_key_is_asked_for_once(visit, model) -> None:
    with serving(create_app(model, api_keys=("k1",))) as client:
        page = visit(client)
        page.get_by_role("dialog").wait_for()
        page.keyboard.type("wrong")
        page.keyboard.press("Enter")
        page.get_by_role("dialog").wait_for()
        page.get_by_label("API key").last.fill("k1")
        page.keyboard.press("Enter")
        page.get_by_label("age").wait_for()
        predict(page)
        page.reload()
        page.get_by_label("age").wait_for()
        assert not page.get_by_role("dialog").is_visible()


def test_browser_keeps_files_and_asks_whether_they_changed(server) -> None:
    first = server.get("/static/page.js")
    assert first.headers["cache-control"] == "no-cache"
    again = server.get("/static/page.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == "no-cache"
    page = server.get("/")
    assert page.headers["cache-control"] == "no-cache"
    again = server.get("/", headers={"if-none-match": page.headers["etag"]})
    assert again.status_code == 304
    assert again.headers["content-security-policy"] == page.headers["content-security-policy"]
