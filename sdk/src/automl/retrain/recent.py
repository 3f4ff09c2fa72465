"""Labelled rows of late: what the server's ledger joined, or a table that something else wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from automl_core import DataError, SettingsError

if TYPE_CHECKING:
    import pyarrow as pa

    from automl.model import Model
    from automl.retrain.settings import RetrainSettings

__all__ = ["Recent"]


class Recent:
    """Reads them anew each time.

    Raises:
        SettingsError: settings name no place of such rows, or two.
        DataError: there is no such file.
    """

    def __init__(self, settings: RetrainSettings) -> None:
        if bool(settings.ledger) == bool(settings.recent):
            raise SettingsError(
                "retraining needs labelled rows: name the ledger that the server writes (plugins.retrain.ledger), or a "
                "table of recent rows (plugins.retrain.recent), not both."
            )
        if settings.ledger and not Path(settings.ledger).is_file():
            raise DataError(f"there is no ledger {settings.ledger!r}: serve with --ledger and send labels first.")
        self._settings = settings

    @property
    def dated(self) -> bool:
        """Whether rows tell when they were predicted."""
        return bool(self._settings.ledger or self._settings.time_column)

    def read(self, champion: Model, *, since: float = 0.0) -> pa.Table | None:
        """Return rows with a known target, oldest first: the columns that the champion was made of, and its target.

        Args:
            since: seconds since the epoch; earlier rows are left out where rows are dated.

        Raises:
            DataError: a table has no target or no such column of time, or cannot be read.
        """
        table = self._of_ledger(champion.target, since) if self._settings.ledger else self._of_table(champion, since)
        if table is None or not table.num_rows:
            return None
        known = champion.schema.names if champion.schema is not None else champion.names
        return table.select([name for name in table.column_names if name in known or name == champion.target])

    def _of_ledger(self, target: str, since: float) -> pa.Table | None:
        from automl.service.ledger import Ledger
        from automl.table import open_table

        ledger = Ledger(self._settings.ledger)
        try:
            rows = ledger.labelled(self._settings.name, since=since, limit=self._settings.latest)
        finally:
            ledger.close()
        return open_table({**rows.inputs, target: rows.truths}) if rows.truths else None

    def _of_table(self, champion: Model, since: float) -> pa.Table:
        from automl.table import open_table

        settings = self._settings
        table = open_table(settings.recent)
        for name in (champion.target, settings.time_column):
            if name and name not in table.column_names:
                raise DataError(f"{settings.recent} has no column {name!r}.")
        table = table.filter(table[champion.target].is_valid())
        if settings.time_column:
            import pyarrow.compute as pc

            times = _seconds(table[settings.time_column], settings)
            table = table.take(pc.sort_indices(times)).filter(pc.greater_equal(times.sort(), since))
        return table.slice(max(0, table.num_rows - settings.latest))


def _seconds(column: pa.ChunkedArray, settings: RetrainSettings) -> pa.ChunkedArray:
    """Return float64 seconds since the epoch; numbers count as such, times without a zone as UTC."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return column.cast(pa.float64(), safe=False)
    for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC")):  # text with a zone is read as the second only
        try:
            return pc.divide(column.cast(kind, safe=False).cast(pa.int64()).cast(pa.float64(), safe=False), 1e6)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            continue
    raise DataError(f"the column {settings.time_column!r} of {settings.recent} holds {column.type}, which is no time.")
