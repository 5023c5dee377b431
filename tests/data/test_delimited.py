from __future__ import annotations

import bz2
import gzip
import re
import subprocess
import sys
import textwrap

import numpy as np
import pyarrow as pa
import pytest

from autoencode.data.reading import open_data
from autoencode.errors import DataError


@pytest.fixture
def opened(tmp_path):
    """Write text to a file and open it."""

    def open_text(text, *, encoding="utf-8", name="data.csv", **options):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return open_data(path, **options)

    return open_text


READABLE = {
    "commas": "größe,b\n1.5,2\n-3,4e1\n",
    "semicolons": "größe;b\n1.5;2\n-3;4e1\n",
    "tabs": "größe\tb\n1.5\t2\n-3\t4e1\n",
    "bars": "größe|b\n1.5|2\n-3|4e1\n",
    "spaces": "größe b\n1.5 2\n-3 4e1\n",
    "decimal commas": "größe;b\n1,5;2\n-3;4e1\n",
    "quoted": '"größe","b"\n"1.5","2"\n"-3","4e1"\n',
    "spaces after commas": "größe, b\n1.5, 2\n-3, 40\n",
    "blank lines": "\n\ngröße,b\n\n1.5,2\n\n\n-3,40\n\n",
    "windows": "größe,b\r\n1.5,2\r\n-3,40\r\n",
    "old mac": "größe,b\r1.5,2\r-3,40\r",
    "no last newline": "größe,b\n1.5,2\n-3,40",
    "trailing delimiter": "größe;b;\n1.5;2;\n-3;40;\n",
}


@pytest.mark.parametrize("case", READABLE)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_dialects(opened, case, encoding):
    data = opened(READABLE[case], encoding=encoding)
    assert data.table.to_pydict() == {"größe": [1.5, -3], "b": [2, 40]}
    assert data.table["größe"].type == pa.float64()


@pytest.mark.parametrize("text", ["1,2\n3,4\n", "1;2\n3;4\n", "1\t2\n3\t4\n", "1,2,\n3,4,\n"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_without_a_header_it_is_a_bare_matrix(opened, text, encoding):
    rows = opened(text, encoding=encoding)
    assert rows.names is None
    np.testing.assert_array_equal(rows.dense(), [[1, 2], [3, 4]])


def test_columns_without_names_go_by_number(opened):
    text = "5.1,3.5,setosa\n4.9,NA,virginica\n"
    data = opened(text)
    assert data.table.to_pydict() == {
        "0": [5.1, 4.9],
        "1": [3.5, None],
        "2": ["setosa", "virginica"],
    }
    assert opened(text, expected_names=("a", "b", "c")).names == ("a", "b", "c")
    rows = opened(text, keep=["2"])
    assert rows.names is None
    assert rows.kept.to_pydict() == {"2": ["setosa", "virginica"]}
    np.testing.assert_array_equal(rows.dense(), [[5.1, 3.5], [4.9, np.nan]])


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_compressed(opened, suffix, pack):
    data = opened(pack(b"a,b\n1,2\n"), name="data.csv" + suffix)
    assert data.table.to_pydict() == {"a": [1], "b": [2]}


def test_kept_text_stays_as_it_is(opened):
    data = opened('id,x\nNA,1\n"",2\n"Müller; ""M""",3\n', keep=["id"])
    assert data.kept.to_pydict() == {"id": ["NA", "", 'Müller; "M"']}


def test_values_over_several_lines(opened):
    data = opened('id,x\n"a\nb",1\nc,2\n', keep=["id"])
    assert data.kept["id"].to_pylist() == ["a\nb", "c"]
    late = "id,x\n" + "a,1\n" * 2_000_000 + '"a\nb",1\n'
    assert opened(late, drop=["id"]).n_rows == 2_000_001


LONG = "a;b\n" + "1;2\n" * 100_000


def last(data):
    return {name: data.table[name][-1].as_py() for name in data.names}


def test_what_comes_after_the_sample(opened):
    """The sample ends long before the last lines, which tell more about the file."""
    data = opened(LONG + "1,5;2,25\n")
    assert data.table.slice(99_999).to_pydict() == {"a": [1, 1.5], "b": [2, 2.25]}
    for byte, character in ((b"\xe4", "ä"), (b"\x80", "€"), (b"\x81", "\x81")):
        assert last(opened(LONG.encode() + b"3;x" + byte + b"\n")) == {"a": 3, "b": "x" + character}
    assert last(opened(LONG + "1;x\n")) == {"a": 1, "b": "x"}


@pytest.mark.parametrize("value", ["1", "1.5"])
@pytest.mark.parametrize("spelled", ["", " ", "NA", "nan", "#N/A", '""'])
def test_missing_cells_after_the_sample(opened, value, spelled):
    data = opened("a,b\n" + f"1,{value}\n" * 100_000 + f"2,{spelled}\n")
    assert data.table["b"].null_count == 1
    assert last(data) == {"a": 2, "b": None}
    assert data.table["b"].type == (pa.int64() if value == "1" else pa.float64())


LATE = {
    "decimals": ("1", "-1.5", pa.float64(), [1, -1.5]),
    "exponents": ("1", "1e3", pa.float64(), [1, 1000]),
    "text after whole numbers": ("1", "x", pa.string(), ["1", "x"]),
    "text after decimals": ("1.50", "x", pa.string(), ["1.50", "x"]),
    "leading zeros": ("1", "01234", pa.string(), ["1", "01234"]),
    "hexadecimal": ("1", "0x1F", pa.string(), ["1", "0x1F"]),
    "beyond 64 bits": ("1", "9223372036854775808", pa.string(), ["1", "9223372036854775808"]),
    "dates": ("2024", "2024-01-01", pa.string(), ["2024", "2024-01-01"]),
    "infinity": ("1", "inf", pa.float64(), [1, float("inf")]),
}


@pytest.mark.parametrize("case", LATE)
def test_columns_that_change_after_the_sample(opened, case):
    early, late, kind, cells = LATE[case]
    data = opened("a,b\n" + f"{early},2\n" * 100_000 + f"{late},\n")
    assert data.table["a"].type == kind
    assert [data.table["a"][0].as_py(), data.table["a"][-1].as_py()] == cells
    assert data.table["b"].type == pa.int64()
    assert len(data) == 100_001


def test_a_decimal_comma_where_points_were_seen_is_text(opened):
    data = opened("a;b\n" + "1.5;2\n" * 100_000 + "2.5;2,5\n")
    assert last(data) == {"a": 2.5, "b": "2,5"}
    data = opened("a;b\n" + "x;2\n" * 100_000 + "2,5;3\n")
    assert last(data) == {"a": "2,5", "b": 3}


def test_points_beside_decimal_commas_set_off_thousands(opened):
    data = opened("stadt;einwohner;x\n" + "A;99.337;0,94\nB;34.461;0,67\n" * 30)
    assert last(data) == {"stadt": "B", "einwohner": "34.461", "x": 0.67}
    # Not where the commas may do so as well, nor where a point stands before decimals.
    for text, wanted in (("1.500;2,500", 1.5), ("1.50;2,5", 1.5), ("0.125;2,5", 0.125)):
        assert last(opened("a;b\n" + f"{text}\n" * 30))["a"] == wanted


def test_whole_numbers_stay_exact(opened):
    data = opened("id,x\n9007199254740993,1.5\n9007199254740995,2.5\n,\n")
    assert data.table["id"].to_pylist() == [9007199254740993, 9007199254740995, None]


def test_missing_cells(opened):
    data = opened("a,b,c,d\n1,2,,x\n3,,,\n4,NA,,NA\n5,nan,,N/A\n6,7,NA,null\n")
    assert data.table.to_pydict() == {
        "a": [1, 3, 4, 5, 6],
        "b": [2, None, None, None, 7],
        "c": [None] * 5,
        "d": ["x", None, None, None, None],
    }
    assert [str(kind) for kind in data.table.schema.types] == ["int64", "int64", "null", "string"]


def test_dates_codes_and_truth_values_stay_as_they_are(opened):
    text = (
        "plz;tag;wann;ja;Ort\n01234;31.12.2024;2024-12-31 05:00:00;TRUE;Köln\n"
        "50667;1.1.2025;;false;\n"
    )
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252"):
        assert opened(text, encoding=encoding).table.to_pydict() == {
            "plz": ["01234", "50667"],
            "tag": ["31.12.2024", "1.1.2025"],
            "wann": ["2024-12-31 05:00:00", None],
            "ja": ["TRUE", "false"],
            "Ort": ["Köln", None],
        }


def test_infinities(opened):
    data = opened("a,b\n1,inf\n3,-Infinity\n2,5\n")
    assert data.table["b"].to_pylist() == [np.inf, -np.inf, 5]
    with pytest.raises(DataError, match=r"data\.csv: Input X contains infinity: column 1 has 2"):
        opened("1,inf\n3,-Infinity\n2,5\n")


@pytest.mark.parametrize("late", [b"3\n", b"3,4,5\n"])
def test_a_line_of_another_length_is_named(opened, late):
    text = b"a,b\n" + b"1,2\n" * 500_000 + late + b"1,2\n" * 500_000
    fields = late.count(b",") + 1
    with pytest.raises(DataError) as caught:
        opened(text)
    assert f"row 500001 has {fields} field" in str(caught.value)
    assert f"not 2: {late.decode().strip()!r}" in str(caught.value)


def test_a_cell_longer_than_a_block(opened):
    data = opened("a,b\n" + "1,x\n" * 100_000 + "2," + "y" * 3_000_000 + "\n")
    assert len(last(data)["b"]) == 3_000_000


@pytest.mark.parametrize("n_columns", [3, 50])
def test_the_file_is_never_in_memory_as_text(tmp_path, n_columns):
    """In a process of its own, whose memory pool has seen nothing else."""
    path = tmp_path / "a.csv"
    line = ",".join([*(str(10**8 + place) for place in range(n_columns - 1)), "some words"]) + "\n"
    names = ",".join(f"c{place}" for place in range(n_columns)) + "\n"
    path.write_text(names + line * (40_000_000 // len(line)))
    script = f"""
        import pyarrow as pa
        from autoencode.data.reading import open_data
        data = open_data({str(path)!r})
        assert data.n_columns == {n_columns}
        assert pa.default_memory_pool().max_memory() < 1.8 * data.table.nbytes
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True)


REFUSED = {
    "empty": ("", "the file is empty"),
    "blank": ("\n \n", "the file is empty"),
    "header only": ("a,b\n", "the file has a header but no rows"),
    "header only, unfinished": ("a,b", "the file has a header but no rows"),
    "short line": ("a,b\n1,2\n3\n", "is not a table: row 2 has 1 field, not 2: '3'"),
    "long line": ("a,b\n1,2\n3,4,5\n", "is not a table: row 2 has 3 fields, not 2: '3,4,5'"),
    "no header": ("1,2\n3,4\n5\n", "is not a table: row 3 has 1 field, not 2: '5'"),
    "duplicate": ("a,a\n1,2\n", "column name 'a' appears 2 times"),
    "not text": (b"PAR1\0\0\0\0", "the file is not text"),
    "UTF-16 cut": ("a,b\n1,2\n".encode("utf-16")[:-1], "the file is not whole UTF-16 text"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(opened, case):
    text, pattern = REFUSED[case]
    with pytest.raises(DataError) as caught:
        opened(text)
    assert re.search(rf"data\.csv: ({pattern})", str(caught.value))
    assert "\n" not in str(caught.value)


def test_truncated_compression(opened):
    packed = gzip.compress(np.random.default_rng(0).bytes(1000).hex().encode())
    with pytest.raises(DataError, match=r"data\.csv\.gz: cannot be read"):
        opened(packed[:-100], name="data.csv.gz")


def test_one_column(opened):
    assert opened("x\n1.5\n\n2.5\n").table.to_pydict() == {"x": [1.5, 2.5]}
    assert opened("unit price\n5\n").table.to_pydict() == {"unit price": [5]}


def test_wide(opened):
    n_columns = 20_000
    names = ",".join(f"column_{number}" for number in range(n_columns))
    line = ",".join(["0.5"] * n_columns)
    data = opened(f"{names}\n{line}\n{line}\n")
    assert (data.n_rows, data.n_columns) == (2, n_columns)
