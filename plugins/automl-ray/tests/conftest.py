"""One Ray on this machine for the tests of a module: starting it takes seconds, and no other test is to find it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from automl_ray.cluster import Cluster


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[Cluster]:
    with Cluster(cpus=2, gpus=0, object_store_bytes=200 << 20) as cluster:
        yield cluster
