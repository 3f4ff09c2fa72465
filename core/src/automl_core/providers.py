"""How a plugin announces what it can build."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from automl_core.settings import PluginSettings

__all__ = ["Context", "Provider"]

C_co = TypeVar("C_co", covariant=True)
S = TypeVar("S", bound="PluginSettings")


@dataclass(frozen=True, slots=True)
class Provider(Generic[C_co]):
    """A named recipe for one component.

    Attributes:
        name: what a setting selects: the plugin's own name, or "plugin.name" for a second one.
        build: imports the heavy library and returns the component; called only when selected.
        summary: one sentence for `automl plugins`.
        settings: returns the plugin's settings model, for `automl plugins NAME`; None where it has none.
        on_request: whether only its own name selects it, "plugin.name", and not its plugin's.
    """

    name: str
    build: Callable[[Context], C_co]
    summary: str
    settings: Callable[[], type[PluginSettings]] | None = None
    on_request: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    """What a plugin may know when it builds a component.

    Attributes:
        plugin: the plugin's name in settings.
        block: its own block of settings, not yet validated.
        threads: how many threads or workers the user allows on this machine.
        directory: where files belong unless a setting says otherwise.
    """

    plugin: str
    block: Mapping[str, Any] = field(default_factory=dict, repr=False)
    threads: int = 1
    directory: str = ".automl"

    def settings(self, model: type[S]) -> S:
        """Validate this plugin's block with its own model.

        Raises:
            SettingsError: names the setting as the user typed it, and never its value.
        """
        from automl_core.settings import validate_block

        return validate_block(self.plugin, model, self.block)
