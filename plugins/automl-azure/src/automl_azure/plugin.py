"""The storage `azure`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from automl_core import Context, Provider, Storage, hookimpl

if TYPE_CHECKING:
    from automl_core import PluginSettings


def _settings() -> type[PluginSettings]:
    from automl_azure.settings import AzureSettings

    return AzureSettings


def build_storage(context: Context) -> Storage:
    from automl_azure.settings import AzureSettings
    from automl_azure.storage import make_storage

    return make_storage(context.settings(AzureSettings))


@hookimpl
def automl_storages() -> Iterable[Provider[Storage]]:
    yield Provider(
        "azure", build_storage, "Keep journals and blobs in Azure Blob Storage, and open data sets there.", _settings
    )
