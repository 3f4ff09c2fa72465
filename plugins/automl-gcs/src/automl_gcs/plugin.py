"""The storage `gcs`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from automl_core import Context, Provider, Storage, hookimpl

if TYPE_CHECKING:
    from automl_core import PluginSettings


def _settings() -> type[PluginSettings]:
    from automl_gcs.settings import GCSSettings

    return GCSSettings


def build_storage(context: Context) -> Storage:
    from automl_gcs.settings import GCSSettings
    from automl_gcs.storage import make_storage

    return make_storage(context.settings(GCSSettings))


@hookimpl
def automl_storages() -> Iterable[Provider[Storage]]:
    yield Provider(
        "gcs", build_storage, "Keep journals and blobs in Google Cloud Storage, and open data sets there.", _settings
    )
