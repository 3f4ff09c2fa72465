"""A fit on all rows by the workers of a cluster together, each of which reads its own share of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, wait
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from automl.large.survey import choose_rows
from automl_core import FitsTogether, Job

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from automl.encoder import Encoder
    from automl.large.batches import Piece
    from automl.large.fates import Fates
    from automl.large.survey import Survey
    from automl.target import TargetCoder
    from automl_core import Model

__all__ = ["Rows", "Share", "fit_together"]

PIECES = 8  # for each member, so that their shares are of about one size
log = logging.getLogger("automl.large")


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """How tables become what learners read; picklable."""

    encoder: Encoder
    coder: TargetCoder
    target: str
    weight: str | None

    def encode(self, table: pa.Table) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64] | None]:
        weight = None if self.weight is None else table[self.weight].to_numpy().astype("float64")
        return self.encoder.encode(table), self.coder.encode(table[self.target]), weight


@dataclass(frozen=True, eq=False)
class Share:
    """The learnable rows of some pieces of a table, encoded batch by batch; picklable."""

    coding: Rows
    pieces: tuple[tuple[Piece, int], ...]
    fates: Fates
    seed: int

    @cached_property
    def rows(self) -> int:
        """How many there are; reads them once more."""
        return sum(table.num_rows for table in self._tables())

    def __iter__(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64] | None]]:
        return map(self.coding.encode, self._tables())

    def _tables(self) -> Iterator[pa.Table]:
        for piece, start in self.pieces:
            yield from choose_rows(piece, start, self.coding.target, self.seed, self.fates.are_learned)


def fit_together(
    learner: FitsTogether, executor: Any, survey: Survey, rows: Rows, job: Job, *, seconds: float | None
) -> tuple[Model, int]:
    """Fit one model on all learnable rows, by all workers of an executor that is one of `Gangs`.

    Args:
        seconds: to wait for it; None waits as long as it takes.

    Returns:
        the model, and how many workers fitted it.

    Raises:
        ConnectionError, RuntimeError: a worker was lost. TimeoutError: it took too long.
    """
    wanted = executor.members
    pieces = survey.batches.pieces(max(1, survey.rows // (PIECES * wanted)))
    members = min(wanted, len(pieces))
    job = replace(job, threads=max(1, executor.capacity // wanted))
    shares = [Share(rows, tuple(pieces[i::members]), survey.fates, survey.seed) for i in range(members)]
    with learner.meet(members, executor.host) as place:
        futures = executor.gang(_fit_share, [(learner, share, job, place, i == 0) for i, share in enumerate(shares)])
        done, late = wait(futures, timeout=seconds, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
        if late:
            raise TimeoutError(f"{len(late)} of {members} workers did not end their fit within {seconds:.0f} s")
    return futures[0].result(), members


def _fit_share(learner: Any, share: Share, job: Job, place: Mapping[str, Any], first: bool) -> Any:
    model = learner.fit_together(share, job, place)
    return model if first else None  # all have the same
