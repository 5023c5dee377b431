from __future__ import annotations

import pytest

from autoencode.data.dialect import is_decimal_comma, sniff
from autoencode.errors import DataError


def sniffed(text, encoding="utf-8"):
    return sniff(text.encode(encoding), complete=True)


@pytest.mark.parametrize("delimiter", ["\t", ";", "|", ",", " "])
@pytest.mark.parametrize("header", [True, False])
def test_every_delimiter(delimiter, header):
    lines = [["1.5", "2", "-3e2"], ["4.5", "5", ".5"]]
    if header:
        lines.insert(0, ["a", "b", "c"])
    found = sniffed("\n".join(delimiter.join(line) for line in lines) + "\n")
    assert found.delimiter == delimiter
    assert found.decimal_point == "."
    assert found.header_lines == int(header)
    assert found.names == (("a", "b", "c") if header else ("0", "1", "2"))


@pytest.mark.parametrize("delimiter", ["\t", ";", "|"])
def test_decimal_commas(delimiter):
    rows = [["1,5", "2,25"], ["3", ",5"]]
    found = sniffed("\n".join(delimiter.join(row) for row in rows))
    assert (found.delimiter, found.decimal_point) == (delimiter, ",")


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("name,x,y\na;b,1,2\nc;d,3,4\n", ","),
        ("when,x\n2013-01-01 05:00,3\n2013-01-01 06:00,4\n", ","),
        ("a, b, c\n1, 2, 3\n4, 5, 6\n", ","),
        ('text;n\n"a;b;c";1\n"d";2\n', ";"),
        ("name\nAnn Lee\nBob Ray\n", ","),
        ("x\n1.5\n2.5\n", ","),
        ("a,b\n1,2\n", ","),
        ("a;b\nx;y\nz;w\n", ";"),
        ("unit price\n5\n", ","),
    ],
)
def test_the_delimiter_that_explains_most(text, delimiter):
    assert sniffed(text).delimiter == delimiter


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("a,b\n1,2\n", True),
        ("1,2\n3,4\n", False),
        ("id,2019,2020\n1,5,6\n", True),
        ("5.1,3.5,setosa\n4.9,3.0,setosa\n", False),
        ("name,kind\nAnn,x\n", True),
        (",x\n0,1\n", True),
        ("1,NA\n2,3\n", False),
        ("NaN,NaN\n2,3\n", True),
        ("1,2\n", False),
        ("2024-01-01,Rome\n2024-01-02,Paris\n", False),
        ("31.12.2024;Rom\n1.1.2025;Paris\n", False),
        ("day,town\n2024-01-01,Rome\n", True),
        ("2024-01-01,2024-01-02\n5,6\n", True),
        ("1,x,NA\n2,y,3\n", False),
    ],
)
def test_headers(text, header):
    assert (sniffed(text).header_lines > 0) is header


def test_header_lines_are_physical_ones():
    assert sniffed('\n\n"long\nname",b\n1,2\n').header_lines == 4


def test_empty_names_are_filled_and_spaces_removed():
    assert sniffed(", größe ,\n0,1,2\n").names == ("unnamed_1", "größe", "unnamed_3")


def test_a_delimiter_at_the_end_of_every_line():
    assert sniffed("a;b;\n1;2;\n3;4;\n").trailing
    assert sniffed("1;2;\n3;4;\n").trailing
    assert not sniffed("a;b;c\n1;2;\n3;4;\n").trailing


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-16"),
        ("cp1252", "cp1252"),
    ],
)
def test_encodings(encoding, name):
    found = sniffed("größe;€\n1;2\n", encoding)
    assert found.encoding == name
    assert found.names == ("größe", "€")


def test_bytes_that_windows_leaves_undefined():
    assert sniff(b"a\x81\xe4;b\n1;2\n", complete=True).encoding == "latin-1"


@pytest.mark.parametrize("cut", range(6))
def test_a_sample_may_end_within_a_character(cut):
    sample = "größe;a\n1;ä\n2;ö€".encode()
    found = sniff(sample[: len(sample) - cut], complete=False)
    assert found.encoding == "utf-8"
    assert found.names == ("größe", "a")


def test_a_quote_that_is_never_closed():
    found = sniff(b'a,b\n1,2\n3,"' + b"x" * 200_000, complete=False)
    assert found.names == ("a", "b")


def test_values_over_several_lines():
    assert sniffed('a,b\n1,"x\ny"\n').newlines_in_values
    assert not sniffed("a,b\n1,x\n").newlines_in_values


@pytest.mark.parametrize("data", [b"", b"\n\n \n", b"\xef\xbb\xbf", b"\xff\xfe"])
def test_nothing(data):
    with pytest.raises(DataError, match=r"^the file is empty$"):
        sniff(data, complete=True)


def test_no_rows():
    with pytest.raises(DataError, match=r"^the file has a header but no rows$"):
        sniffed("a,b")
    assert sniff(b"a,b\n", complete=False).names == ("a", "b")


def test_not_text():
    with pytest.raises(DataError, match=r"^the file is not text"):
        sniff(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", complete=True)


def test_whether_decimals_were_seen():
    assert sniffed("a;b\n1.5;2\n").decimals_seen
    assert sniffed("a;b\n1,5;2\n").decimals_seen
    assert not sniffed("a;b\n1;2\n").decimals_seen
    assert sniffed("a,b\n1,2\n").decimals_seen  # no comma can be one


def test_decimal_comma_cells():
    assert all(map(is_decimal_comma, ["1,5", " -3,25 ", "+,5", "1,", "2,5e-3"]))
    assert not any(map(is_decimal_comma, ["1.5", "1", "1,234,567", "a,b", ",", ""]))
