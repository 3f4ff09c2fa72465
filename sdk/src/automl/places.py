"""Files at URIs of a cloud, through the storage plugin of the scheme."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from automl_core import Located, PluginError
from automl_core.remote.schemes import SCHEMES, plugin_of, scheme_of

if TYPE_CHECKING:
    from automl_core import Plugins

__all__ = ["is_in_cloud", "storage_at"]


def storage_at(uri: str, plugins: Plugins | None = None) -> Any:
    """Return the storage that reads and writes files at a URI; None where the scheme is not that of a cloud.

    Args:
        plugins: whose settings hold; None reads them from the environment and `automl.toml`.

    Raises:
        PluginError: the plugin of the scheme is not installed, or cannot read files.
        SettingsError: its settings are wrong.
    """
    if scheme_of(uri) not in SCHEMES:
        return None
    if plugins is None:
        from automl_core import Plugins
        from automl_core.settings import load_settings

        plugins = Plugins(load_settings())
    storage = plugins.build("storage", uri)
    if not isinstance(storage, Located):
        raise PluginError(f"plugin {plugin_of(uri)!r} reads no files, so {uri!r} cannot be used.")
    return storage


def is_in_cloud(data: Any) -> bool:
    """Whether data is the URI of a cloud, or a list with one."""
    items = data if isinstance(data, list | tuple) else [data]
    return any(isinstance(item, str) and scheme_of(item) in SCHEMES for item in items)
