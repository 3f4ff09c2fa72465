"""New plugins of each kind work as they are written, together and alone; and what is wrong with one is told."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from packages import ROOT
from served import fit_buyers

from automl import AutoML
from automl.authoring.check import REMEDIES, check_plugin
from automl.authoring.kinds import EXAMPLES
from automl.authoring.make import make_plugin
from automl.cli.app import cli
from automl.service import PredictionService, ServiceOptions
from automl_core import PluginError, Plugins, Trial, decode
from automl_core.kinds import KINDS
from automl_core.settings import load_settings
from automl_core.testing import PluginConformance
from automl_core.testing.fakes import install

TEMPLATE = ROOT / "sdk/src/automl/authoring/template"
# The most that a suite may leave out: powers that the component has not, services that it has not.
CHECKS = {
    "cache": 18, "executor": 14, "learner": 80, "monitor": 10, "search": 24, "server": 7, "storage": 40, "tracker": 9,
}  # fmt: skip


def make(folder: Path, name: str, kind: str) -> Path:
    """Make a plugin, with the metadata that pip writes beside its package, and return the folder of both."""
    made = folder / f"automl-{name}"
    make_plugin(name, kind, made)
    project = tomllib.loads((made / "pyproject.toml").read_text())["project"]
    for entry, module in project["entry-points"]["automl"].items():
        install(
            made / "src", entry, module, distribution=project["name"], version=project["version"], requires=project["dependencies"],
        )  # fmt: skip
    return made / "src"


@pytest.fixture
def eight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have a new plugin of each kind installed: `my_cache`, `my_executor`, ..."""
    for kind in KINDS:
        monkeypatch.syspath_prepend(make(tmp_path, f"my_{kind}", kind))
    yield
    for module in [module for module in sys.modules if module.startswith("automl_my_")]:
        del sys.modules[module]


@pytest.mark.parametrize("kind", KINDS)
def test_new_plugin_conforms_at_once(tmp_path: Path, kind: str) -> None:
    source = make(tmp_path, "mine", kind)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "--rootdir", ".", "tests"]
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=source.parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert int(re.findall(r"(\d+) passed", done.stdout)[0]) >= CHECKS[kind]


def test_new_plugins_are_written_in_the_style_of_the_house(tmp_path: Path) -> None:
    for kind in KINDS:
        make_plugin(f"my_{kind}", kind, tmp_path / kind)
    # Which modules are of the house is known by their folders: the order of imports is not the same elsewhere.
    options = ["--config", str(ROOT / "pyproject.toml"), "--no-cache", str(tmp_path)]
    for words in (["format", "--check"], ["check", "--ignore", "I001"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *words, *options], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_template_of_contrib_is_what_new_writes(tmp_path: Path) -> None:
    for file in make_plugin("template", "learner", tmp_path / "made"):
        path = file.relative_to(tmp_path / "made")
        assert (ROOT / "contrib/template" / path).read_text() == file.read_text(), path


@pytest.mark.parametrize("kind", KINDS)
def test_guide_shows_each_kind_word_for_word(kind: str) -> None:
    guide = (ROOT / "core/README.md").read_text()
    assert f"### {KINDS[kind].__name__}\n" in guide
    assert f"```python\n{(TEMPLATE / f'{kind}.py').read_text()}```" in guide


def test_guide_shows_the_entry_module_that_new_writes(tmp_path: Path) -> None:
    make_plugin("mine", "cache", tmp_path / "made")
    text = (tmp_path / "made/src/automl_mine/plugin.py").read_text()
    assert f"```python\n{text}```" in (ROOT / "core/README.md").read_text()


@pytest.mark.slow
@pytest.mark.skipif(not (find_spec("pip") and find_spec("setuptools")), reason="pip builds by setuptools")
def test_learner_of_the_guide_is_installed_by_pip_and_competes(tmp_path: Path) -> None:
    """Write it as the guide has it, outside of this repository, and go the way that its author and users go."""
    made, site = tmp_path / "automl-descent", tmp_path / "site"
    blocks = re.findall(r"```\w+\n# (\S+)\n(.+?)```", (ROOT / "core/README.md").read_text(), re.DOTALL)
    files = {name: text for name, text in blocks if name == "pyproject.toml" or "descent" in name}
    for name, text in (files | {f"src/automl_descent/{empty}": "" for empty in ("__init__.py", "py.typed")}).items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(site), "AUTOML_LEARNERS": "descent,sklearn.linear"}

    def do(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
        return done.stdout

    alone = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")  # nothing is fetched: all is here
    do(sys.executable, "-m", "pip", "install", *alone, "--target", str(site), str(made))
    assert {"automl_descent", "automl_descent-0.1.0.dist-info"} <= {path.name for path in site.iterdir()}
    (found,) = [one for one in json.loads(do("automl", "plugins", "--json")) if one["name"] == "descent"]
    assert (found["distribution"], found["version"]) == ("automl-descent", "0.1.0")
    told = do(sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", str(made / "tests"))
    assert int(re.findall(r"(\d+) passed", told)[0]) > 100
    rows = make_rows()
    lines = [",".join(rows), *(",".join(map(str, row)) for row in zip(*rows.values(), strict=True))]
    (tmp_path / "table.csv").write_text("\n".join(lines))
    do("automl", "fit", "table.csv", "--target", "y", "--time-limit", "8", "--quiet")
    tried = json.loads(do("automl", "leaderboard", "model.automl", "--json"))
    assert {"descent", "sklearn.linear"} <= {row["learner"] for row in tried if row["state"] == "complete"}


def make_rows(count: int = 400) -> dict[str, Any]:
    random = np.random.default_rng(0)
    x, z = random.normal(size=(2, count))
    return {"x": x, "z": z, "y": np.where(x - z + 0.3 * random.normal(size=count) > 0, "yes", "no")}


def test_eight_new_plugins_make_a_study_and_serve_it(eight: None, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    settings = load_settings(
        storage="my_storage", executor="my_executor", search="my_search", learners=("my_learner",), trackers=("my_tracker",),
        cache="my_cache", monitors=("my_monitor",), directory=str(kept),
    )  # fmt: skip
    table = make_rows()
    engine = AutoML(max_trials=4, time_limit=None, folds=2, n_jobs=2, settings=settings).fit(table, target="y")
    assert engine.score(table) > 0.9
    assert {row["learner"] for row in engine.leaderboard()} == {"ensemble", "my_learner"}
    (file,) = (kept / "my_tracker").iterdir()
    trials = [record for record in map(decode, file.read_bytes().splitlines()) if isinstance(record, Trial)]
    assert sorted(trial.id for trial in trials) == list(range(len(trials)))
    assert (kept / "my_storage.sqlite").stat().st_size > 0

    with PredictionService(Plugins(settings), options=ServiceOptions(cache="always", local_rows=0)) as service:
        service.add(engine)
        said = [service.predict({"x": 2.0, "z": -2.0}) for _ in range(2)]
    assert [(answer.listed, answer.hits) for answer in said] == [(["yes"], 0), (["yes"], 1)]
    assert b'"record":"Event"' in (kept / "my_monitor.jsonl").read_bytes()


def test_new_server_answers_with_a_model(eight: None, tmp_path: Path) -> None:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = load_settings(plugins={"my_server": {"port": port}}, directory=str(tmp_path / "kept"))
    service = PredictionService()
    service.add(fit_buyers())
    with Plugins(settings).build("server", "my_server") as server, service:
        thread = threading.Thread(target=server.serve, args=(service,), daemon=True)
        thread.start()
        row = {"age": 30, "income": 50.0, "city": "Oslo"}
        expected = service.predict(row).listed
        assert ask(port, row) == (200, {"predictions": expected})
        assert ask(port, [row, row]) == (200, {"predictions": expected * 2})
        status, said = ask(port, {"age": 30})
        assert status == 400
        assert "income" in said["error"]
    thread.join(20)
    assert not thread.is_alive()


def ask(port: int, body: object) -> tuple[int, Any]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", json.dumps(body).encode())
    for _ in range(1200):
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)
        except OSError:
            time.sleep(0.05)  # it does not listen yet
    raise TimeoutError(port)


# ---- automl plugins check


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["plugins", *words], prog_name="automl")


@pytest.mark.parametrize("kind", ["cache", "server"])
def test_new_plugin_passes_its_check(eight: None, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("check", f"my_{kind}")
    assert result.exit_code == 0, result.output
    assert re.search(rf"^{kind} my_{kind} +\w.+  passed$", result.stdout, re.MULTILINE)
    assert re.search(r"^plugin +entry point is there once +passed$", result.stdout, re.MULTILINE)
    assert ", 0 failed, " in result.stdout
    assert {path.name for path in tmp_path.iterdir()} == {f"automl-my_{other}" for other in KINDS}


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have a cache installed that keeps values for ever, and whose entry module imports numpy."""
    source = make(tmp_path, "stale", "cache")
    cache, plugin = source / "automl_stale/cache.py", source / "automl_stale/plugin.py"
    cache.write_text(cache.read_text().replace("time.monotonic() + ttl", 'float("inf")'))
    plugin.write_text(plugin.read_text().replace("from collections.abc", "import numpy\nfrom collections.abc"))
    monkeypatch.syspath_prepend(source)
    monkeypatch.chdir(tmp_path)
    yield
    for module in [module for module in sys.modules if module.startswith("automl_stale")]:
        del sys.modules[module]


def test_failed_checks_are_told_with_their_remedies(broken: None) -> None:
    result = run("check", "stale")
    assert result.exit_code == 1
    assert re.search(r"^cache stale +value is gone when its time is over +failed$", result.stdout, re.MULTILINE)
    assert "remedy  Cache.set: Store a value, for `ttl` seconds where given." in result.stdout
    assert f"remedy  {REMEDIES['test_entry_module_loads_no_library']}" in result.stdout
    assert "assert b'x' is None" in result.stdout


def test_failed_checks_are_told_to_machines(broken: None) -> None:
    result = run("check", "stale", "--json")
    assert result.exit_code == 1
    failed = {one["check"] for one in json.loads(result.stdout) if one["outcome"] == "failed"}
    assert failed == {"value is gone when its time is over", "entry module loads no library"}


def test_each_check_of_plugins_has_a_remedy() -> None:
    assert set(REMEDIES) == {name for name in dir(PluginConformance) if name.startswith("test_")}


@pytest.mark.parametrize("kind", KINDS)
def test_each_check_of_a_kind_has_a_remedy(kind: str) -> None:
    from automl.authoring.check import _remedy
    from automl.authoring.suites import suite_of

    for test in (name for name in dir(suite_of(kind)) if name.startswith("test_")):
        assert re.match(r"[A-Z]\w+(\.\w+)?: [A-Z]", _remedy(kind, test)), test


def test_plugin_that_cannot_be_had_is_not_checked() -> None:
    result = run("check", "templat")
    assert result.exit_code == 1
    assert "Did you mean 'template'?" in result.stderr


def test_checks_that_do_not_start_say_why(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="'nothing_there' did not run"):
        check_plugin("nothing_there")


def test_all_kinds_have_an_example() -> None:
    assert set(EXAMPLES) == set(KINDS)
