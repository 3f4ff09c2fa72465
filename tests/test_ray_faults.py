"""Studies on a Ray cluster of several nodes whose parts die: what was finished stays, and the log says what happened."""

from __future__ import annotations

import json
import logging
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sklearn.datasets import load_breast_cancer

from automl import AutoML
from automl_core import hookimpl
from automl_core.settings import load_settings
from automl_core.testing.fakes import install

pytest.importorskip("ray", reason="automl-ray is not installed here")
X, Y = load_breast_cancer(return_X_y=True)
ROWS = 300
PATIENCE = 240
TITLES = {"ray": "ray::call", "raytune": "ray::ImplicitFunc"}
pytestmark = pytest.mark.slow
BOTH = pytest.mark.parametrize("how", TITLES)

# Each fit takes a while, and leaves a line of what it was, where and when.
PACED = """
import json, os, time
import numpy as np
import ray
from automl_core import Float, Learner, Provider, Space, hookimpl

class Fitted:
    rounds = None
    def __init__(self, weight):
        self.weight = weight
    def predict(self, values):
        p = 1 / (1 + np.exp(-np.clip(np.nan_to_num(values).astype(float) @ self.weight, -30, 30)))
        return np.column_stack([1 - p, p])

class Paced(Learner):
    tasks = frozenset({"binary"})
    def __init__(self, eats):
        self.eats = eats
    def space(self, task):
        return Space({"ridge": Float(0.01, 100.0, log=True)})
    def fit(self, job):
        ridge, rows = job.params.get("ridge", 1.0), len(job.train)
        node = ray.get_runtime_context().get_node_id() if ray.is_initialized() else ""
        with open(os.environ["PACED_LOG"], "a") as file:
            print(json.dumps([ridge, rows, node, time.time()]), file=file)
        time.sleep(0.2)
        while os.path.exists(os.environ["PACED_LOG"] + ".hold"):
            time.sleep(0.05)
        if self.eats and node:
            eaten = []
            while len(eaten) < 400:
                eaten.append(np.ones(5_000_000))
                time.sleep(0.02)
        X = np.nan_to_num(job.data.values[job.train]).astype(float)
        X = X / np.abs(X).max(0)
        y = 4 * job.data.target[job.train] - 2
        weight = np.linalg.solve(X.T @ X + ridge * np.eye(X.shape[1]), X.T @ y)
        return Fitted(weight / np.abs(np.nan_to_num(job.data.values[job.train])).max(0))
    def dump(self, model):
        return model.weight.tobytes()
    def load(self, data):
        return Fitted(np.frombuffer(data))

@hookimpl
def automl_learners():
    yield Provider("works", lambda context: Paced(False), "Takes its time.")
    yield Provider("eats", lambda context: Paced(True), "Takes all memory.")
"""

SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
import test_ray_faults
test_ray_faults.study(*sys.argv[1:])
"""


class Teller:
    @hookimpl
    def automl_trial_finished(self, trial):
        import ray

        # On one machine Ray chooses by itself which node a driver belongs to, and dies with.
        node = ray.get_runtime_context().get_node_id() if ray.is_initialized() else ""
        ridge = trial.params.get("ridge", 1.0)
        print(json.dumps([trial.learner, ridge, str(trial.state), trial.error, time.time(), node]), flush=True)


def study(how, address, folder, trials, retries, *learners):
    """Fit, as the script that a test starts, and print each trial that ends and the score of the model."""
    logging.basicConfig(level=logging.WARNING)
    tuned = None
    if how == "raytune":
        from automl_ray.optimizer import RayTuneOptimizer
        from automl_ray.settings import RayTuneSettings

        tuned = RayTuneOptimizer(
            RayTuneSettings(
                ray_address=address, scheduler="fifo", search_algorithm="random", num_samples=int(trials),
                max_failures=int(retries),
            )
        )  # fmt: skip
    settings = load_settings(
        executor="serial" if tuned else "ray", search="random", learners=learners, directory=folder,
        plugins={"ray": {"address": address, "retries": int(retries)}},
    )  # fmt: skip
    engine = AutoML(
        time_limit=None,
        max_trials=int(trials),
        folds=3,
        n_jobs=2,
        settings=settings,
        optimizer=tuned,
        listeners=[Teller()],
    )
    engine.fit(X[:ROWS], Y[:ROWS])
    print(json.dumps(["model", engine.score(X[ROWS:], Y[ROWS:])]), flush=True)


class Study:
    """A study in a process of its own."""

    def __init__(self, folder, how, address, *, trials=6, retries=3, learners=("paced.works",)):
        script = folder / "study.py"
        script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)))
        self.how, self.said, self.log = how, folder / "said", folder / "log"
        arguments = [how, address, str(folder / "study"), str(trials), str(retries), *learners]
        with self.said.open("a") as said, self.log.open("a") as log:
            self.process = subprocess.Popen([sys.executable, str(script), *arguments], stdout=said, stderr=log)

    def lines(self):
        # Ray writes there, too, and the last line may be half written.
        lines = self.said.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith('["') and line.endswith("]")]

    def ended(self):
        return [line for line in self.lines() if line[0] != "model"]

    def expendable(self, nodes):
        """Return a node that this driver can do without."""
        return next(node["id"] for node in nodes.nodes if node["id"] != self.ended()[0][-1])

    def until(self, trials):
        deadline = time.monotonic() + PATIENCE
        while len(self.ended()) < trials:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def score(self):
        """Wait for the end, and return the score of the model."""
        try:
            assert self.process.wait(PATIENCE) == 0, self.log.read_text()
        finally:
            self.process.kill()
        name, score = self.lines()[-1]
        assert name == "model"
        return score


# In a process of its own: one that was connected to another Ray keeps to its token.
HOST = """
import json, sys
from ray.cluster_utils import Cluster

cluster, nodes = Cluster(), {}

def add(**options):
    node = cluster.add_node(object_store_memory=80 << 20, include_dashboard=False, **options)
    nodes[node.node_id] = node
    return {"id": node.node_id, "raylet": node.all_processes["raylet"][0].process.pid, "address": cluster.address}

def kill(id):
    cluster.remove_node(nodes.pop(id), allow_graceful=False)

for line in sys.stdin:
    name, arguments = json.loads(line)
    print("answer", json.dumps({"add": add, "kill": kill}[name](**arguments)), flush=True)
cluster.shutdown()
"""


class Nodes:
    """A head that runs nothing, and nodes of two CPUs each."""

    def __init__(self, count, **config):
        self.fits_file = Path(os.environ["PACED_LOG"])
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.host = subprocess.Popen([sys.executable, "-c", HOST], text=True, **pipes)
        self.head = self.do("add", num_cpus=0, _system_config={"health_check_period_ms": 1000, **config})
        self.address, self.nodes = self.head["address"], []
        for _ in range(count):
            self.add()

    def do(self, name, **arguments):
        print(json.dumps([name, arguments]), file=self.host.stdin, flush=True)
        line = next(line for line in self.host.stdout if line.startswith("answer "))
        return json.loads(line.removeprefix("answer "))

    def add(self):
        self.nodes.append(self.do("add", num_cpus=2))
        return self.nodes[-1]["id"]

    def kill(self, node):
        self.nodes = [other for other in self.nodes if other["id"] != node]
        self.do("kill", id=node)

    def close(self):
        self.host.stdin.close()
        self.host.stdout.read()
        self.host.stdout.close()
        self.host.wait(PATIENCE)

    def fits(self):
        """Return ridge, node and time of all fits of folds that began."""
        lines = [json.loads(line) for line in self.fits_file.read_text().splitlines()]
        return [(ridge, node, when) for ridge, rows, node, when in lines if rows < ROWS]

    def workers(self, title):
        parents = {node["raylet"] for node in self.nodes}
        table = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
        rows = [line.split(None, 2) for line in table.splitlines()[1:]]
        return [int(pid) for pid, parent, rest in rows if int(parent) in parents and rest.startswith(title)]


def assert_nothing_finished_ran_again(run, nodes):
    for _, ridge, state, _, when, _ in run.ended():
        if state == "complete":
            assert [at for other, _, at in nodes.fits() if other == ridge and at > when] == []


@pytest.fixture(scope="module")
def paced(tmp_path_factory):
    """Install the learners for drivers and workers alike, and keep all nodes to the loopback interface."""
    folder = tmp_path_factory.mktemp("paced")
    install(folder, "paced", "paced_learners", source=PACED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        # Else a driver takes the token of this user where there is one, and the nodes, which do not, are strangers to it.
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        patch.setenv("PACED_LOG", str(folder / "fits"))
        yield folder


@pytest.fixture(scope="module")
def shared_nodes(paced):
    nodes = Nodes(2)
    yield nodes
    nodes.close()


@pytest.fixture
def nodes(shared_nodes):
    shared_nodes.fits_file.write_text("")
    return shared_nodes


# Each worker of Ray Tune takes seconds to start.
@pytest.mark.parametrize(("how", "kills"), [("ray", 20), ("raytune", 6)])
def test_kills_of_workers_and_nodes_cost_nothing_that_was_finished(nodes, tmp_path, how, kills):
    rng, killed = random.Random(0), 0
    run = Study(tmp_path, how, nodes.address, trials=16, retries=50)
    run.until(1)
    deadline = time.monotonic() + PATIENCE
    while killed < kills and run.process.poll() is None and time.monotonic() < deadline:
        if killed in (2, 9):
            nodes.kill(run.expendable(nodes))
            nodes.add()
            killed += 1
        elif workers := nodes.workers(TITLES[how]):
            os.kill(rng.choice(workers), signal.SIGKILL)
            killed += 1
        time.sleep(0.25)
    assert run.score() > 0.9
    assert killed == kills
    assert [(state, error) for _, _, state, error, *_ in run.ended()] == [("complete", None)] * 16
    assert_nothing_finished_ran_again(run, nodes)
    assert run.log.read_text().count("was lost with its worker and runs again") > 2


@BOTH
def test_spot_node_leaves_with_notice_and_another_comes_and_is_used(nodes, tmp_path, how):
    run = Study(tmp_path, how, nodes.address, trials=16)
    run.until(2)
    hold = nodes.fits_file.with_name("fits.hold")
    hold.touch()
    leaving = run.expendable(nodes)
    drain = ["ray", "drain-node", "--address", nodes.address, "--node-id", leaving, "--reason"]
    drain += ["DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot", "--deadline-remaining-seconds", "2"]
    subprocess.run(drain, check=True, capture_output=True, timeout=60)
    joined = nodes.add()
    nodes.kill(leaving)
    deadline = time.monotonic() + PATIENCE
    while joined not in {node for _, node, _ in nodes.fits()}:  # all others are held
        assert time.monotonic() < deadline, run.log.read_text()
        time.sleep(0.1)
    hold.unlink()
    assert run.score() > 0.9
    assert [state for _, _, state, *_ in run.ended()] == ["complete"] * 16
    assert_nothing_finished_ran_again(run, nodes)


SHARE = """
import numpy as np
from automl_ray.cluster import Cluster
from automl_ray.executor import RayExecutor
from automl_core import ComponentUnavailable, Float, Space
with RayExecutor(Cluster({address!r})) as executor:
    kept = []
    try:
        for number in range(4):
            kept.append(executor.share(np.full(5_000_000, float(number))))
        print([executor.submit(lambda ref: float(ref.get().mean()), ref).result(120) for ref in kept])
    except ComponentUnavailable as error:
        print(error)
"""


def share(address):
    done = subprocess.run(
        [sys.executable, "-c", SHARE.format(address=address)], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_object_store_that_is_full_goes_on_by_the_disk(nodes):
    assert share(nodes.address) == "[0.0, 1.0, 2.0, 3.0]\n"


# ---- what takes a cluster of its own


def used_memory():
    """Return the share of memory that is in use, as Ray counts it."""
    from ray._private.utils import get_system_memory, get_used_memory

    return get_used_memory() / get_system_memory()


@pytest.fixture(scope="module", params=TITLES)
def doomed(paced, request):
    """A cluster that kills what eats memory and takes each disk for full, and whose head is going to die."""
    limits = {"memory_usage_threshold": round(used_memory() + 0.15, 2), "local_fs_capacity_threshold": 0.001}
    nodes = Nodes(1, gcs_rpc_server_reconnect_timeout_s=5, **limits)
    yield request.param, nodes
    nodes.close()


def test_trial_that_eats_memory_fails_alone_and_says_so(doomed, tmp_path):
    how, nodes = doomed
    if how == "raytune":
        pytest.skip("Ray Tune itself ends with an error when Ray kills for memory a worker that is just starting")
    nodes.fits_file.write_text("")
    run = Study(tmp_path, how, nodes.address, trials=4, retries=1, learners=("paced.works", "paced.eats"))
    assert run.score() > 0.9
    ended = {(learner, state): error for learner, _, state, error, *_ in run.ended()}
    assert ("paced.works", "complete") in ended
    assert "memory" in str(ended["paced.eats", "failed"])
    assert "was lost with its worker and runs again" in run.log.read_text()


def test_full_store_and_full_disk_are_told(doomed):
    assert "object store has no room for the data, and the disk behind it neither" in share(doomed[1].address)


def test_head_that_is_lost_ends_the_study_and_another_goes_on(doomed, tmp_path):
    how, nodes = doomed
    nodes.fits_file.write_text("")
    run = Study(tmp_path, how, nodes.address, trials=8)
    run.until(2)
    nodes.do("kill", id=nodes.head["id"])
    assert run.process.wait(PATIENCE) != 0
    assert run.log.read_text()
    finished = {ridge: when for _, ridge, state, _, when, _ in run.ended() if state == "complete"}
    assert len(finished) >= 2
    again = Nodes(1)
    try:
        run = Study(tmp_path, how, again.address, trials=8)
        assert run.score() > 0.9
    finally:
        again.close()
    assert [at for ridge, _, at in again.fits() if at > finished.get(ridge, at)] == []
