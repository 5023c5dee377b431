from __future__ import annotations

import bz2
import gzip
import re

import numpy as np
import pytest

from autoencode.data.reading import open_rows
from autoencode.errors import DataError


@pytest.fixture
def opened(tmp_path):
    """Write text to a file and open it."""

    def open_text(text, *, encoding="utf-8", name="data.csv", **options):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return open_rows(path, **options)

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
    rows = opened(READABLE[case], encoding=encoding)
    assert rows.names == ("größe", "b")
    assert rows.dtype == np.float64
    np.testing.assert_array_equal(rows.dense(), [[1.5, 2], [-3, 40]])


@pytest.mark.parametrize("text", ["1,2\n3,4\n", "1;2\n3;4\n", "1\t2\n3\t4\n", "1,2,\n3,4,\n"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_without_a_header_it_is_a_bare_matrix(opened, text, encoding):
    rows = opened(text, encoding=encoding)
    assert rows.names is None
    np.testing.assert_array_equal(rows.dense(), [[1, 2], [3, 4]])


def test_columns_without_names_go_by_number(opened):
    text = "5.1,3.5,setosa\n4.9,3.0,virginica\n"
    with pytest.raises(DataError, match=r"column '2' \(counted from 0\) is .* --drop 2"):
        opened(text)
    rows = opened(text, keep=["2"])
    assert rows.names is None
    assert rows.kept.to_pydict() == {"2": ["setosa", "virginica"]}
    np.testing.assert_array_equal(rows.dense(), [[5.1, 3.5], [4.9, 3.0]])


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_compressed(opened, suffix, pack):
    rows = opened(pack(b"a,b\n1,2\n"), name="data.csv" + suffix)
    assert rows.names == ("a", "b")


def test_kept_text_stays_as_it_is(opened):
    rows = opened('id,x\nNA,1\n"",2\n"Müller; ""M""",3\n', keep=["id"])
    assert rows.kept.to_pydict() == {"id": ["NA", "", 'Müller; "M"']}


def test_values_over_several_lines(opened):
    rows = opened('id,x\n"a\nb",1\nc,2\n', keep=["id"])
    assert rows.kept["id"].to_pylist() == ["a\nb", "c"]
    late = "id,x\n" + "a,1\n" * 2_000_000 + '"a\nb",1\n'
    assert opened(late, drop=["id"]).n_rows == 2_000_001


LONG = "a;b\n" + "1;2\n" * 100_000


def test_what_comes_after_the_sample(opened):
    """The sample ends long before the last lines, which tell more about the file."""
    rows = opened(LONG + "1,5;2,25\n")
    np.testing.assert_array_equal(rows.block(99_999, 100_001), [[1, 2], [1.5, 2.25]])
    for byte, character in ((b"\xe4", "ä"), (b"\x80", "€"), (b"\x81", "\x81")):
        kept = opened(LONG.encode() + b"3;x" + byte + b"\n", keep=["b"]).kept["b"]
        assert kept[100_000].as_py() == "x" + character
    with pytest.raises(DataError, match=r"column 'b' is not numeric but text: 'x' in row 100001;"):
        opened(LONG + "1;x\n")


@pytest.mark.parametrize("value", ["1", "1.5"])
@pytest.mark.parametrize("spelled", ["", "NA", "nan", "#N/A"])
def test_missing_cells_after_the_sample(opened, value, spelled):
    text = "a,b\n" + f"1,{value}\n" * 100_000 + f"2,{spelled}\n"
    with pytest.raises(DataError, match=r"'b' has 1 missing value \(first in row 100001\)"):
        opened(text)


def test_numbers_that_change_after_the_sample(opened):
    rows = opened("a,b\n" + "1,2\n" * 100_000 + "-1.5,1e3\n")
    np.testing.assert_array_equal(rows.take([-1]), [[-1.5, 1000]])
    with pytest.raises(DataError, match=r"'b' is not numeric but text: 'x' in row 100001;"):
        opened("a,b\n" + "1,2.5\n" * 100_000 + "1,x\n")


def test_kept_whole_numbers_stay_exact(opened):
    rows = opened("id,x\n9007199254740993,1.5\n9007199254740995,2.5\n", keep=["id"])
    assert rows.kept["id"].to_pylist() == [9007199254740993, 9007199254740995]


def test_missing_cells(opened):
    with pytest.raises(DataError, match=r"column 'b' has 3 missing values \(first in row 2\)"):
        opened("a,b\n1,2\n3,\n4,NA\n5,nan\n")
    with pytest.raises(DataError, match=r"column 'b' has no values at all \(2 missing\)"):
        opened("a,b,c\n1,,2\n3,,4\n")


def test_infinities(opened):
    with pytest.raises(DataError, match=r"column 'b' has 2 infinite values \(first in row 1\)"):
        opened("a,b\n1,inf\n3,-Infinity\n2,5\n")


REFUSED = {
    "empty": ("", "the file is empty"),
    "blank": ("\n \n", "the file is empty"),
    "header only": ("a,b\n", "the file has a header but no rows"),
    "header only, unfinished": ("a,b", "the file has a header but no rows"),
    "short line": ("a,b\n1,2\n3\n", "is not a table: .*Expected 2 columns, got 1"),
    "long line": ("a,b\n1,2\n3,4,5\n", "is not a table: .*Expected 2 columns, got 3"),
    "text": ("age,b\n1,2\nold,4\n", "column 'age' is not numeric but text: 'old' in row 2;"),
    "question mark": ("age,b\n1,2\n?,4\n", r"column 'age' is not numeric but text: '\?' in row 2"),
    "date": ("d,b\n2013-01-02,2\n", "column 'd' is not numeric but date32.*: '2013-01-02' in row"),
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
    rows = opened("x\n1.5\n\n2.5\n")
    assert rows.names == ("x",)
    np.testing.assert_array_equal(rows.dense(), [[1.5], [2.5]])


def test_wide(opened):
    n_columns = 20_000
    names = ",".join(f"column_{number}" for number in range(n_columns))
    line = ",".join(["0.5"] * n_columns)
    rows = opened(f"{names}\n{line}\n{line}\n")
    assert (rows.n_rows, rows.n_features) == (2, n_columns)
