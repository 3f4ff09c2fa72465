"""Files of any size through a function, a chunk at a time."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from automl_core import ComponentUnavailable, DataError, SettingsError
from automl_dask.csv_source import CsvSource
from automl_dask.parquet_source import ParquetSource
from automl_dask.pieces import Piece, Source
from automl_dask.progress import ChunkProgress, State, identify, load_state, save_state
from automl_dask.sinks import Sink, open_sink

if TYPE_CHECKING:
    Path = str | os.PathLike[str]
    Transform = Callable[[pd.DataFrame], Any]

__all__ = ["ChunkedDataProcessor"]

POLICIES = ("error", "skip")
NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
log = logging.getLogger("automl.dask")


@dataclass(frozen=True, slots=True)
class _Done:
    rows_in: int
    rows_out: int
    bad: int
    data: Any


class ChunkedDataProcessor:
    """Applies a function to files that are larger than memory.

    Memory holds one chunk for each worker, and one more. The output appears under its name when it is whole. A run that
    was killed goes on where it stopped when it is called again with the same files, settings and function; after a change
    of these it starts over. What is unfinished lies in `.NAME.unfinished` beside the output.

    Args:
        chunk_size: rows of a chunk; the last one of each file has fewer.
        workers: threads that work on chunks at the same time. With more than one, the function must be safe to call from
            several threads; the order of rows stays the same.
        progress: called after each chunk, from the calling thread.
        storage_options: for fsspec, where paths are URIs.
    """

    def __init__(
        self,
        chunk_size: int = 1_000_000,
        *,
        workers: int = 1,
        progress: Callable[[ChunkProgress], None] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        if chunk_size < 1 or workers < 1:
            raise SettingsError(f"chunk_size is {chunk_size} and workers {workers}; both must be at least 1.")
        self.chunk_size, self.workers, self.progress = chunk_size, workers, progress
        self.storage_options = storage_options

    def process_csv_in_chunks(
        self,
        input_path: Path | Sequence[Path],
        output_path: Path,
        transform_fn: Transform,
        *,
        delimiter: str | None = None,
        dtypes: Mapping[str, Any] | None = None,
        encoding: str = "utf-8",
        quoted: bool = True,
        bad_rows: str = "error",
    ) -> ChunkProgress:
        """Read CSV files, and write what the function returns for each chunk.

        Args:
            input_path: a path, glob, folder or URI, or a list of them; also .gz, .bz2, .xz, .zst. Files must have the same
                header. Values are read as pandas reads them, dates stay text.
            output_path: .csv, .tsv or .csv.gz; .parquet for one file; else a folder for Parquet files.
            transform_fn: takes a data frame and returns one, or an Arrow table; its index is left out.
            delimiter: None finds it in the header.
            dtypes: types by column, as Arrow or pandas name them; others are found in each chunk anew.
            quoted: whether a quote encloses values (RFC 4180); False takes it for an ordinary character.
            bad_rows: "error", or "skip" to leave out rows with too many or too few values.

        Raises:
            DataError: a file cannot be read, or a chunk cannot be written.
            ComponentUnavailable: there is no space left; run again with more, and it goes on there.
        """
        _check_policy("bad_rows", bad_rows)
        source = CsvSource(
            input_path, chunk_size=self.chunk_size, delimiter=delimiter, dtypes=dtypes, encoding=encoding, quoted=quoted,
            bad_rows=bad_rows, options=self.storage_options,
        )  # fmt: skip
        return self._process(source, output_path, transform_fn)

    def process_parquet_in_chunks(
        self,
        input_path: Path | Sequence[Path],
        output_path: Path,
        transform_fn: Transform,
        *,
        columns: Sequence[str] | None = None,
        bad_files: str = "error",
    ) -> ChunkProgress:
        """Do the same with Parquet files.

        Args:
            columns: the ones to read. A column that some files lack is missing there; one of several types takes the type
                that all fit in.
            bad_files: "error", or "skip" to leave out files that cannot be read, or what follows the place where a file is
                corrupt.

        Raises:
            DataError: as above, or the files' columns do not fit together.
        """
        _check_policy("bad_files", bad_files)
        source = ParquetSource(
            input_path, chunk_size=self.chunk_size, columns=columns, bad_files=bad_files, options=self.storage_options
        )
        return self._process(source, output_path, transform_fn)

    def _process(self, source: Source, output_path: Path, transform_fn: Transform) -> ChunkProgress:
        sink = open_sink(output_path, self.storage_options)
        run = identify(
            source.system, source.files, transform_fn, self.chunk_size, type(source).__name__, source.identity
        )
        return _Run(source, sink, transform_fn, self.workers, self.progress, run).run()


class _Run:
    def __init__(
        self,
        source: Source,
        sink: Sink,
        transform: Transform,
        workers: int,
        progress: Callable[[ChunkProgress], None] | None,
        run: str,
    ) -> None:
        self._source, self._sink, self._transform, self._workers = source, sink, transform, workers
        self._tell = progress
        self._place = f"{sink.folder}/progress.json"
        found = load_state(sink.system, self._place, run)
        self._resumed = found is not None
        self._state = found or State(run, bad_rows=source.left_out)
        self._earlier = self._state.chunks
        self._started = time.monotonic()

    def run(self) -> ChunkProgress:
        try:
            self._sink.begin(self._state if self._resumed else None)
            if self._resumed:
                log.info("going on after chunk %d of an earlier run", self._earlier)
            for piece, done in self._results():
                self._keep(piece, done)
            if not self._state.chunks:
                self._keep_empty()
            self._sink.finish()
        except OSError as error:
            raise self._explain(error) from error
        finally:
            self._sink.close()
        return self._progress()

    def _results(self) -> Iterator[tuple[Piece, _Done]]:
        """Yield what became of each piece, in order."""
        pieces = self._source.pieces(self._state.place)
        number = self._state.chunks
        if self._workers == 1 or not number:
            # The first chunk decides the output's columns for all.
            for piece in pieces:
                yield piece, self._work(piece, number)
                number += 1
                if self._workers > 1:
                    break
        if self._workers == 1:
            return
        with ThreadPoolExecutor(self._workers, thread_name_prefix="automl-chunk") as pool:
            window: deque[tuple[Piece, Future[_Done]]] = deque()
            try:
                for later, piece in enumerate(pieces, number):
                    window.append((piece, pool.submit(self._work, piece, later)))
                    if len(window) > self._workers:
                        yield _settle(window)
                while window:
                    yield _settle(window)
            finally:
                for _, future in window:
                    future.cancel()

    def _work(self, piece: Piece, number: int) -> _Done:
        table, bad = self._source.parse(piece)
        for row in bad[:3]:
            log.warning("%s: left out: %s", row.file, row.why)
        rows = table.num_rows
        frame = table.to_pandas(self_destruct=True)
        del table
        try:
            result = self._transform(frame)
        except Exception as error:
            error.add_note(f"in chunk {number} ({self._source.files[piece.start.file]!r} from {piece.start.offset} on)")
            raise
        del frame
        out = _to_table(result, number, self._source.schema)
        return _Done(rows, out.num_rows, len(bad), self._sink.encode(out, number))

    def _keep(self, piece: Piece, done: _Done) -> None:
        state = self._state
        size = self._sink.add(state.chunks, done.data)
        state.size, state.place, state.chunks = size, piece.stop, state.chunks + 1
        state.rows_in += done.rows_in
        state.rows_out += done.rows_out
        state.bad_rows += done.bad
        save_state(self._sink.system, self._place, state)
        progress = self._progress()
        log.info("%d chunks, %d rows", progress.chunks, progress.rows_in)
        if self._tell is not None:
            self._tell(progress)

    def _keep_empty(self) -> None:
        """Write the header of an output without rows."""
        out = _to_table(self._transform(self._source.schema.empty_table().to_pandas()), 0, self._source.schema)
        self._sink.add(0, self._sink.encode(out, 0))

    def _progress(self) -> ChunkProgress:
        state, files = self._state, len(self._source.files)
        return ChunkProgress(
            chunks=state.chunks,
            resumed=self._earlier,
            rows_in=state.rows_in,
            rows_out=state.rows_out,
            bad_rows=state.bad_rows,
            files_done=state.place.file,
            files=files,
            seconds=time.monotonic() - self._started,
        )

    def _explain(self, error: OSError) -> Exception:
        if error.errno not in NO_SPACE:
            return DataError(f"chunk {self._state.chunks} could not be read or written: {error}")
        return ComponentUnavailable(
            f"there is no space left in {self._sink.folder!r} ({error.strerror}). {self._state.chunks} chunks are safe: make "
            "room, and run again to go on from there."
        )


def _settle(window: deque[tuple[Piece, Future[_Done]]]) -> tuple[Piece, _Done]:
    piece, future = window.popleft()
    return piece, future.result()


def _to_table(result: Any, number: int, schema: pa.Schema) -> pa.Table:
    """Return what the function returned; a column without any value has the type that it was read as."""
    if isinstance(result, pa.Table):
        return result
    if not isinstance(result, pd.DataFrame):
        raise DataError(
            f"transform_fn returned a {type(result).__name__} for chunk {number}; it must return a data frame."
        )
    try:
        table = pa.Table.from_pandas(result, preserve_index=False)
        empty = [field.name for field in table.schema if pa.types.is_null(field.type) and field.name in schema.names]
        kinds = [schema.field(f.name).type if f.name in empty else f.type for f in table.schema]
        return table.cast(pa.schema(list(zip(table.column_names, kinds, strict=True))))
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(f"chunk {number} cannot be written: {'; '.join(map(str, error.args))}") from error


def _check_policy(name: str, value: str) -> None:
    if value not in POLICIES:
        raise SettingsError(f"{name} is {value!r}; it must be one of {', '.join(POLICIES)}.")
