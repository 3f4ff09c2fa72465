"""What a checkup is to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from automl_core import Plugins, Settings

__all__ = ["PURPOSES", "Asked"]

PURPOSES = ("all", "serving", "training")


@dataclass(frozen=True, slots=True)
class Asked:
    """What to look at; what is empty is not looked at, and said to be missing.

    Attributes:
        purpose: one of `PURPOSES`: a machine that serves needs no learners.
        model: path or URI of the model in service. url: address of a server, or of the balancer before several.
        prometheus: its address. alertmanager: its address from here, where that of Prometheus leads nowhere.
        dashboards: files of dashboards whose queries Prometheus must understand, and that Grafana must have.
        grafana: its address. grafana_token: of a service account that may view dashboards.
        namespace: of Kubernetes. backup: a file of `automl backup`, or the folder that its newest one is in.
    """

    settings: Settings
    purpose: str = "all"
    model: str = ""
    url: str = ""
    prometheus: str = ""
    alertmanager: str = ""
    dashboards: Sequence[str] = ()
    grafana: str = ""
    grafana_token: str = field(default="", repr=False)
    namespace: str = ""
    backup: str = ""
    host: str = ""
    port: int | None = None
    plugins: Plugins = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "plugins", Plugins(self.settings))

    @property
    def serves(self) -> bool:
        return self.purpose != "training"

    @property
    def trains(self) -> bool:
        return self.purpose != "serving"

    def server(self) -> Any:
        """Return the settings of the selected server, validated; None where it has none.

        Raises:
            PluginError: it is not installed. SettingsError: its block is wrong.
        """
        from automl_core.settings import validate_block

        word = self.settings.server
        (_, provider), *_ = self.plugins.providers("server", word)
        plugin = word.partition(".")[0]
        if provider.settings is None:
            return None
        return validate_block(plugin, provider.settings(), self.settings.plugins.get(plugin, {}))
