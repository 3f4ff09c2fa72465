from __future__ import annotations

import pytest

from automl_core import Context, Storage
from automl_core.testing import LocatedConformance, PluginConformance, StorageConformance
from automl_s3.plugin import build_storage


@pytest.fixture
def storage(bucket, block) -> Storage:
    return build_storage(Context("s3", {**block, "url": f"s3://{bucket}/some/folder", "part_size": 5}))


class TestPlugin(PluginConformance):
    plugin = "s3"
    settings = {"url": "s3://bucket/folder"}


class TestStorage(StorageConformance):
    crosses_processes = True

    @pytest.fixture
    def storage(self, storage) -> Storage:
        return storage

    @pytest.fixture
    def another(self, bucket, block):
        return lambda: build_storage(Context("s3", {**block, "url": f"s3://{bucket}/some/folder"}))


class TestFiles(LocatedConformance):
    @pytest.fixture
    def storage(self, storage) -> Storage:
        return storage

    @pytest.fixture
    def place(self, bucket) -> str:
        return f"s3://{bucket}/data"
