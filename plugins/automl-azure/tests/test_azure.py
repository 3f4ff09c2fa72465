from __future__ import annotations

import pytest

from automl_azure.plugin import build_storage
from automl_core import Context, Storage
from automl_core.testing import LocatedConformance, PluginConformance, StorageConformance

# Of aiohttp, for what the cloud's client does; Python shows none of these unless told to.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")


@pytest.fixture
def storage(bucket, block) -> Storage:
    return build_storage(Context("azure", {**block, "url": f"az://{bucket}/some/folder", "part_size": 5}))


class TestPlugin(PluginConformance):
    plugin = "azure"
    settings = {"url": "az://bucket/folder", "account_name": "none", "account_key": "a2V5"}


class TestStorage(StorageConformance):
    crosses_processes = True

    @pytest.fixture
    def storage(self, storage) -> Storage:
        return storage

    @pytest.fixture
    def another(self, bucket, block):
        return lambda: build_storage(Context("azure", {**block, "url": f"az://{bucket}/some/folder"}))


class TestFiles(LocatedConformance):
    @pytest.fixture
    def storage(self, storage) -> Storage:
        return storage

    @pytest.fixture
    def place(self, bucket) -> str:
        return f"az://{bucket}/data"
