"""The storage `s3`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from automl_core import Context, Provider, Storage, hookimpl

if TYPE_CHECKING:
    from automl_core import PluginSettings


def _settings() -> type[PluginSettings]:
    from automl_s3.settings import S3Settings

    return S3Settings


def build_storage(context: Context) -> Storage:
    from automl_s3.settings import S3Settings
    from automl_s3.storage import make_storage

    return make_storage(context.settings(S3Settings))


@hookimpl
def automl_storages() -> Iterable[Provider[Storage]]:
    yield Provider("s3", build_storage, "Keep journals and blobs in Amazon S3, and open data sets there.", _settings)
