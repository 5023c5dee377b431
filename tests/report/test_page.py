"""The page as a whole: sound, small, closed to the network, and not written from misfits."""

import base64
import dataclasses
import hashlib
import json
import re
from collections import Counter

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
import pytest
from plotly.offline import get_plotlyjs

from autoencode.errors import DataError
from autoencode.report import write_report

HOSTILE = "</script><script>alert(1)</script><img src=http://evil.example/x onerror=alert(1)>\"'&"

CASES = {
    "table": lambda make: make(),
    "pictures": lambda make: make(columns=64, shape=(8, 8)),
    "colour": lambda make: make(columns=75, shape=(5, 5, 3)),
    "tall pictures": lambda make: make(9, columns=1200, shape=(300, 4)),
    "profile": lambda make: make(columns=31),
    "one component": lambda make: make(columns=64, components=1, shape=(8, 8)),
    "one column": lambda make: make(columns=1, components=1),
    "one row": lambda make: make(1),
    "two rows": lambda make: make(2),
    "one picture": lambda make: make(1, columns=9, shape=(3, 3)),
    "no history": lambda make: make(history={}),
    "one epoch": lambda make: make(history={"epoch": [1], "train_total": [0.5]}),
    "no level": lambda make: make(level=None),
    "constant": lambda make: make(
        rows=np.ones((60, 6)), reconstructions=np.ones((60, 6)), column_scale=np.zeros(6)
    ),
    "constant pictures": lambda make: make(
        columns=9, shape=(3, 3), rows=np.ones((60, 9)), reconstructions=np.ones((60, 9))
    ),
    "not finite": lambda make: make(reconstructions=np.full((60, 6), np.nan)),
    "not finite pictures": lambda make: make(
        columns=9, shape=(3, 3), reconstructions=np.full((60, 9), np.inf)
    ),
    "float32": lambda make: make(rows=make().rows.astype(np.float32)),
    "no error at all": lambda make: make(
        curve={key: np.zeros_like(value) for key, value in make().curve.items()}
        | {"size": np.arange(1, 7)}
    ),
}


TABLE_CASES = {
    "mixed table": lambda make_table: make_table(),
    "nothing missing": lambda make_table: make_table(missing_share=0.0),
    "everything missing": lambda make_table: make_table(missing_share=1.0),
    "one row of a table": lambda make_table: make_table(1),
    "two rows of a table": lambda make_table: make_table(2),
    "one component of a table": lambda make_table: make_table(codes=np.ones((60, 1))),
    "equal codes": lambda make_table: make_table(codes=np.ones((60, 2))),
    "no groupings": lambda make_table: make_table(groupings=()),
    "not measured": lambda make_table: make_table(
        columns=tuple(
            dataclasses.replace(column, quality=None, baseline=None)
            for column in make_table().columns
        )
    ),
}
ALL_CASES = [*CASES, *TABLE_CASES]


@pytest.fixture
def build(make, make_table):
    return lambda case: CASES[case](make) if case in CASES else TABLE_CASES[case](make_table)


@pytest.mark.parametrize("case", ALL_CASES)
def test_every_page_is_sound(written, build, case):
    page = written(build(case))
    assert len(page.all("h1")) == 1
    links = [link["href"] for link in page.all("a") if "nav" in link["inside"]]
    assert links == ["#" + section["id"] for section in page.all("section")]
    for section in page.all("section"):
        assert page.all("h2", id=section["aria-labelledby"])[0]["text"]
    boxes = [box["data-figure"] for box in page.all("div") if "data-figure" in box]
    assert sorted(boxes) == sorted(page.figures)
    assert all(box["aria-label"] for box in page.all("div") if "data-figure" in box)
    assert all("alt" in image for image in page.all("img"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all("scroll" in " ".join(table["path"]) for table in page.all("table"))
    names = Counter(element["id"] for element in page.elements if element.get("id"))
    assert max(names.values()) == 1
    assert not re.search(r"\b(nan|inf|None|undefined)\b", page.text.replace("alert", ""), re.I)
    assert len(page.source.encode()) < 6e6


@pytest.mark.parametrize("case", ALL_CASES)
def test_figures_are_what_plotly_understands(written, build, case):
    page = written(build(case))
    style = page.all("style")[0]["text"]
    for figure in page.figures.values():
        source = json.dumps(figure)
        for colour in set(re.findall(r'"(--[\w-]+)"', source)):
            assert style.count(f"{colour}:") == 2, f"{colour} in the light and the dark scheme"
        go.Figure(json.loads(re.sub(r'"--[\w-]+"', '"#123456"', source)))


@pytest.mark.parametrize("case", ["table", "pictures", "mixed table"])
def test_nothing_is_asked_of_the_network(written, build, case):
    page = written(build(case))
    for element in page.elements:
        for key in ("src", "href", "srcset", "action", "poster", "data"):
            assert (element.get(key) or "#").startswith(("#", "data:image/png;base64,")), element
        assert element["tag"] not in ("link", "iframe", "object", "embed", "base", "form")
        assert not [key for key in element if key.startswith("on")]
    style = page.all("style")[0]["text"]
    assert "url(" not in style
    assert "@import" not in style
    own = page.all("script")[2]["text"]
    assert not re.search(r"fetch|XMLHttpRequest|WebSocket|import\(|https?:|sendBeacon", own)


def test_only_the_pages_own_scripts_may_run(written, make):
    page = written(make())
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    scripts = [get_plotlyjs(), page.all("script")[2]["text"]]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()) for text in scripts]
    assert rules["script-src"] == " ".join(f"'sha256-{digest.decode()}'" for digest in hashes)
    assert "connect-src" not in rules
    assert page.source.count(get_plotlyjs()) == 1
    assert page.source.index("charset") < page.source.index("Content-Security-Policy") < 1024


def test_hostile_text_stays_text(written, make):
    history = dict(make().history)
    history["phase"] = [HOSTILE] * 8 + ["b" + HOSTILE] * 4
    history["train_" + HOSTILE] = history.pop("train_l1")
    data = make(
        columns=40,
        names=tuple(f"{HOSTILE}{column}" for column in range(40)),
        title=HOSTILE,
        sentence=HOSTILE,
        facts={HOSTILE: HOSTILE},
        loading=HOSTILE,
        history=history,
    )
    hostile, tame = written(data), written(make(columns=40))
    tags = Counter(element["tag"] for element in hostile.elements if element["tag"] != "wbr")
    plain = Counter(element["tag"] for element in tame.elements if element["tag"] != "wbr")
    assert tags["script"] == 3
    assert {tag: tags[tag] for tag in tags if tag not in ("div", "dt", "dd")} == {
        tag: plain[tag] for tag in plain if tag not in ("div", "dt", "dd")
    }
    assert hostile.all("h1")[0]["text"] == HOSTILE
    assert hostile.all("code")[0]["text"] == HOSTILE
    assert "<script" not in json.dumps(hostile.figures)
    assert "&lt;script" in json.dumps(hostile.figures)


def test_hostile_text_of_a_table_stays_text(written, make_table):
    hostile_cells = pa.table({f"{HOSTILE}{place}": [HOSTILE] * 60 for place in range(6)})
    tame = make_table()
    hostile = make_table(
        named=lambda name: HOSTILE + name,
        original=hostile_cells,
        rebuilt=hostile_cells,
        columns=tuple(
            dataclasses.replace(column, name=HOSTILE + column.name, detail=HOSTILE)
            for column in tame.columns
        ),
        groupings=(
            dataclasses.replace(tame.groupings[0], name=HOSTILE, levels=(HOSTILE, "<b>", "&")),
        ),
    )
    page = written(hostile)
    tags = Counter(element["tag"] for element in page.elements)
    plain = Counter(element["tag"] for element in written(tame).elements)
    assert tags["script"] == 3
    # Names are broken at punctuation, cells that are cut have a title, and some have no bar.
    changed = {tag for tag in tags if tags[tag] != plain[tag]}
    assert changed <= {"wbr", "span", "i"}
    assert "<script" not in json.dumps(page.figures)
    assert [e["title"] for e in page.all("span") if "title" in e] == [HOSTILE] * 48
    assert HOSTILE[:40] in page.table("Quality by column")[1][0]


def test_text_that_is_not_unicode_can_be_written(written, make):
    names = ("bad \udcff", "nul \x00", "x" * 100_000, "$title", "new\nline", "")
    page = written(make(names=names))
    assert len(page.source) < len(get_plotlyjs()) + 200_000
    assert "$title" in page.text


def test_same_data_gives_the_same_bytes(written, make):
    first = written(make(columns=64, shape=(8, 8))).source
    assert written(make(columns=64, shape=(8, 8))).source == first


def test_many_columns_and_many_rows_stay_small(written, make):
    wide = np.random.default_rng(0).normal(size=(20, 100_000))
    data = make(20, columns=6)
    data = dataclasses.replace(
        data,
        rows=wide,
        reconstructions=wide * 0.9,
        column_scale=np.ones(100_000),
        names=tuple(f"gene_{column}" for column in range(100_000)),
        sample_shape=(100_000,),
    )
    extra = len(get_plotlyjs()) + 400_000
    assert len(written(data).source) < extra
    many = written(make(4000, columns=75, shape=(5, 5, 3)))
    assert len(many.figures["codes"]["data"][0]["x"]) == 3000
    assert len(many.data["sprite"]["tiles"]) <= 1000
    assert len(many.source) < len(get_plotlyjs()) + 1_100_000


def test_page_suits_phones_dark_screens_and_paper(written, make):
    page = written(make())
    assert page.all("meta", name="viewport")[0]["content"] == "width=device-width, initial-scale=1"
    style = page.all("style")[0]["text"]
    for query in ("(max-width: 640px)", "(prefers-color-scheme: dark)", "print"):
        assert f"@media {query}" in style


def test_existing_file_is_kept_unless_forced(tmp_path, make):
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(DataError, match="--force"):
        write_report(path, make())
    assert path.read_text() == "mine"
    write_report(path, make(), force=True)
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chosen_size": 99}, "chosen size 99"),
        ({"curve": {"size": np.arange(3)}}, "has no 'explained_variance'"),
        ({"rows": np.zeros((0, 6))}, r"rows of shape \(r, d\)"),
        ({"reconstructions": np.zeros((60, 5))}, "reconstructions"),
        ({"codes": np.zeros((59, 2))}, "codes"),
        ({"codes": np.zeros((60, 0))}, "codes"),
        ({"row_numbers": np.zeros(3)}, "row_numbers"),
        ({"column_scale": np.ones(5)}, "column_scale"),
        ({"names": ("a",)}, "names"),
        ({"sample_shape": (2, 2)}, "sample_shape"),
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path, make, changes, message):
    path = tmp_path / "report.html"
    with pytest.raises(DataError, match=message):
        write_report(path, make(**changes))
    assert not path.exists()
