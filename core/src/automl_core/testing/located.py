"""What every storage with the powers `Located` and `Tabular` must do."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from automl_core.errors import DataError
from automl_core.powers import Located, Tabular
from automl_core.testing.conformance import Conformance

__all__ = ["LocatedConformance"]

ROWS: dict[str, list[Any]] = {"a": [1, 2, 3], "b": ["x", None, "z"], "c": [0.5, 1.5, -2.0]}
CSV = b"a,b,c\n1,x,0.5\n2,,1.5\n3,z,-2.0\n"
JSON = b'{"a":1,"b":"x","c":0.5}\n{"a":2,"b":null,"c":1.5}\n{"a":3,"b":"z","c":-2.0}\n'


class LocatedConformance(Conformance):
    """Override the fixtures `storage`, and `place`: the URI of a folder where nothing is. Needs pyarrow.

    Attributes:
        large: size in bytes of a file that takes several parts to write.
    """

    large: ClassVar[int] = 12 << 20

    @pytest.fixture
    def storage(self) -> Any:
        raise NotImplementedError("override the fixture `storage`")

    @pytest.fixture
    def place(self) -> str:
        raise NotImplementedError("override the fixture `place`")

    def test_storage_has_the_powers(self, storage: Any) -> None:
        assert isinstance(storage, Located)
        assert isinstance(storage, Tabular)

    @pytest.mark.parametrize("data", [b"", b"x", bytes(range(256))])
    def test_file_comes_back_byte_for_byte(self, storage: Any, place: str, data: bytes) -> None:
        storage.put_uri(f"{place}/some file.bin", data)
        with storage.open_uri(f"{place}/some file.bin") as file:
            assert file.read() == data

    def test_large_file_comes_back_byte_for_byte(self, storage: Any, place: str) -> None:
        data = bytes(range(251)) * (self.large // 251)
        storage.put_uri(f"{place}/large", data)
        with storage.open_uri(f"{place}/large") as file:
            assert file.read() == data

    def test_file_can_be_read_anywhere(self, storage: Any, place: str) -> None:
        storage.put_uri(f"{place}/file", b"0123456789")
        with storage.open_uri(f"{place}/file") as file:
            assert [file.seek(4), file.read(2), file.tell()] == [4, b"45", 6]
            assert [file.seek(-3, io.SEEK_END), file.read(), file.read()] == [7, b"789", b""]

    def test_put_replaces_a_file(self, storage: Any, place: str) -> None:
        storage.put_uri(f"{place}/file", b"long and old")
        storage.put_uri(f"{place}/file", b"new")
        with storage.open_uri(f"{place}/file") as file:
            assert file.read() == b"new"

    def test_files_of_a_folder_and_of_a_glob_are_sorted(self, storage: Any, place: str) -> None:
        for name in ("2.csv", "1.csv", "sub/3.csv", "_SUCCESS", ".hidden.csv", "notes.md"):
            storage.put_uri(f"{place}/{name}", b"a\n1\n")
        names = [f"{place}/{name}" for name in ("1.csv", "2.csv", "sub/3.csv")]
        assert storage.locate(place) == names
        assert storage.locate(f"{place}/*.csv")[-2:] == names[:2]
        assert storage.locate(f"{place}/2.csv") == names[1:2]

    @pytest.mark.parametrize("name", ["nothing", "nothing.csv", "nothing-*.csv"])
    def test_missing_file_is_a_data_error(self, storage: Any, place: str, name: str) -> None:
        attempts: list[Callable[[], object]] = [
            lambda: storage.locate(f"{place}/{name}"),
            lambda: storage.table(f"{place}/{name}"),
        ]
        for attempt in attempts:
            with pytest.raises(DataError, match="there is no file at"):
                attempt()
        with pytest.raises(DataError, match="there is no file at"):
            storage.open_uri(f"{place}/nothing.csv")

    @pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.tsv", "t.jsonl", "t.json", "t.parquet", "t.arrow"])
    def test_every_format_gives_the_same_table(self, storage: Any, place: str, name: str) -> None:
        storage.put_uri(f"{place}/{name}", _encoded(name))
        assert storage.table(f"{place}/{name}").to_table().to_pydict() == ROWS

    def test_columns_are_chosen(self, storage: Any, place: str) -> None:
        storage.put_uri(f"{place}/t.parquet", _encoded("t.parquet"))
        table = storage.table(f"{place}/t.parquet", columns=["c", "a"]).to_table()
        assert table.to_pydict() == {"c": ROWS["c"], "a": ROWS["a"]}

    def test_unknown_column_is_a_data_error(self, storage: Any, place: str) -> None:
        storage.put_uri(f"{place}/t.parquet", _encoded("t.parquet"))
        with pytest.raises(DataError, match=r"lacks the column aa.* Did you mean 'a'"):
            storage.table(f"{place}/t.parquet", columns=["aa"])

    @pytest.mark.parametrize("source", ["", "/year=*/part.*", "/year=*"])
    def test_hive_partitions_become_columns(self, storage: Any, place: str, source: str) -> None:
        for year in (2024, 2025):
            storage.put_uri(f"{place}/year={year}/part.csv", b"a\n%d\n" % (year % 10))
        table = storage.table(place + source).to_table().sort_by("a")
        assert table.to_pydict() == {"a": [4, 5], "year": [2024, 2025]}

    def test_partitions_that_a_filter_excludes_are_not_read(self, storage: Any, place: str) -> None:
        from pyarrow import compute

        storage.put_uri(f"{place}/year=2024/part.parquet", b"not Parquet at all")
        storage.put_uri(f"{place}/year=2025/part.parquet", _encoded("t.parquet"))
        schema_from = f"{place}/year=2025/part.parquet"
        assert storage.table(schema_from).count_rows() == 3
        with pytest.raises(DataError, match="cannot be read"):
            storage.table(place)
        storage.put_uri(f"{place}/year=2024/part.parquet", _encoded("t.parquet"))
        dataset = storage.table(place)
        storage.put_uri(f"{place}/year=2024/part.parquet", b"not Parquet at all")
        assert dataset.to_table(filter=compute.field("year") == 2025)["a"].to_pylist() == ROWS["a"]

    def test_files_that_differ_have_the_columns_of_all(self, storage: Any, place: str) -> None:
        storage.put_uri(f"{place}/1.csv", b"a,b\n1,2\n")
        storage.put_uri(f"{place}/2.csv", b"a,c\n1.5,x\n")
        rows = storage.table(place).to_table().to_pydict()
        assert rows == {"a": [1.0, 1.5], "b": [2, None], "c": [None, "x"]}

    def test_formats_are_not_mixed(self, storage: Any, place: str) -> None:
        storage.put_uri(f"{place}/1.csv", CSV)
        storage.put_uri(f"{place}/2.parquet", _encoded("t.parquet"))
        with pytest.raises(DataError, match="one known format, not csv, parquet"):
            storage.table(place)

    def test_damaged_file_is_a_data_error(self, storage: Any, place: str) -> None:
        storage.put_uri(f"{place}/t.parquet", _encoded("t.parquet")[:-20])
        with pytest.raises(DataError, match="cannot be read"):
            storage.table(f"{place}/t.parquet")


def _encoded(name: str) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    plain = {
        "t.csv": CSV,
        "t.csv.gz": gzip.compress(CSV),
        "t.tsv": CSV.replace(b",", b"\t"),
        "t.jsonl": JSON,
        "t.json": JSON,
    }
    if name in plain:
        return plain[name]
    table, sink = pa.table(ROWS), pa.BufferOutputStream()
    if name == "t.parquet":
        parquet.write_table(table, sink, row_group_size=1)
    else:
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    return bytes(sink.getvalue())
