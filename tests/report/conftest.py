"""Data for a report, and the report read back as a page."""

import dataclasses
import json
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest
from plotly.offline import get_plotlyjs

from autoencode.report import ReportData, TableReportData, write_report
from autoencode.report_parts.groups import Grouping
from autoencode.report_parts.missing import find_missing
from autoencode.report_parts.table_data import ColumnFacts

VOID = {"meta", "img", "link", "br", "wbr"}


class Page(HTMLParser):
    """A parsed report: its elements with their texts, and whether tags are balanced."""

    def __init__(self, path):
        super().__init__(convert_charrefs=True)
        self.source = path.read_text(encoding="utf-8")
        self.elements, self.open = [], []
        self.feed(self.source.replace(get_plotlyjs(), "PLOTLY"))
        self.close()
        assert not self.open
        data = next(e["text"] for e in self.elements if e.get("id") == "page-data")
        self.data = json.loads(data, parse_constant=pytest.fail)
        self.figures = self.data["figures"]

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "text": "", "inside": [e["tag"] for e in self.open]}
        element |= dict(attributes)
        element["path"] = [e.get("class") or "" for e in self.open]
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, text):
        for element in self.open:
            element["text"] += text

    def all(self, tag, **wanted):
        return [
            element
            for element in self.elements
            if element["tag"] == tag
            and all(element.get(key.rstrip("_")) == value for key, value in wanted.items())
        ]

    @property
    def text(self):
        """What a reader sees."""
        return self.all("header")[0]["text"] + self.all("main")[0]["text"]

    def table(self, beginning):
        """Rows of cells of the first table whose caption begins so."""
        first = next(
            place
            for place, element in enumerate(self.elements)
            if element["tag"] == "caption" and element["text"].startswith(beginning)
        )
        rows = []
        for element in self.elements[first + 1 :]:
            if element["tag"] == "table":
                break
            if element["tag"] == "tr":
                rows.append([])
            elif element["tag"] in ("td", "th"):
                rows[-1].append(element["text"])
        return rows


def report_data(count=60, columns=6, components=3, *, shape=None, **changes):
    rng = np.random.default_rng(0)
    given = rng.normal(size=(count, columns)) * np.linspace(1, 9, columns) + 5
    sizes = np.arange(1, columns + 1)
    pca_error = 0.9 ** np.minimum(sizes, 60)
    error = pca_error * np.where(sizes < 5, 0.75, 1.0)
    epochs = [*range(1, 9), *range(1, 5)]
    data = ReportData(
        title="wine.csv",
        sentence="A code of 3 components.",
        facts={"rows": "178", "seconds": "75.2", "version": "0.1.0"},
        curve={
            "size": sizes,
            "explained_variance": 1 - error,
            "pca_explained_variance": 1 - pca_error,
            "error": error,
            "pca_error": pca_error,
            "network": sizes < 5,
        },
        chosen_size=components,
        level=0.45,
        rows=given,
        reconstructions=given + rng.normal(size=given.shape) * np.linspace(0.1, 3, columns),
        codes=rng.normal(size=(count, components)),
        row_numbers=np.arange(count) * 3 + 1000,
        column_scale=np.linspace(1, 9, columns),
        names=None if shape else tuple(f"name_{column}" for column in range(columns)),
        sample_shape=shape or (columns,),
        history={
            "phase": ["nested"] * 8 + ["fine"] * 4,
            "epoch": epochs,
            "seconds": [0.5 * place for place in range(12)],
            "learning_rate": [1e-3] * 8 + [1e-4] * 4,
            "held_out": [*np.linspace(1, 0.4, 8), None, 0.35, 0.3, float("nan")],
            "train_total": np.linspace(1, 0.2, 12),
            "train_l1": np.linspace(0.01, 0.001, 12),
        },
        loading='import autoencode\nmodel = autoencode.load("model.safetensors")',
    )
    return dataclasses.replace(data, **changes)


COMMON = (
    *("title", "sentence", "facts", "curve", "chosen_size", "level", "codes", "row_numbers"),
    *("history", "loading"),
)


ACCURACY = {"measure": "accuracy", "error_share": 0.25}
EXPLAINED = {"measure": "explained_variance", "baseline": 0.0, "error_share": 0.25}
TABLE_COLUMNS = (
    ("numeric", "numeric, 20 to 80", EXPLAINED | {"quality": 0.9}),
    ("count", "count, 0 to 59", EXPLAINED | {"quality": 0.9996}),
    ("categorical", "categorical, 3 levels", ACCURACY | {"quality": 0.5, "baseline": 0.4}),
    ("binary", "binary, false or true", ACCURACY | {"quality": 0.9, "baseline": 0.85}),
    ("constant", "constant, mm", {}),
    ("identifier", "identifier, near-unique: 60 of 60 values differ", {}),
)


def table_report_data(count=60, *, named=str, missing_share=0.1, **changes):
    """Data of a report on a table: a number, a count, two of levels, a constant, an identifier.

    Cells are missing in the number (``length``) and in one of the levels (``colour``).
    """
    rng = np.random.default_rng(1)
    length = rng.normal(size=count).round(1) * 10 + 50
    colours = ("red", "green", "blue")
    colour, other = rng.integers(0, 3, count), rng.integers(0, 3, count)
    holes = rng.random((count, 2)) < missing_share
    errors = np.full((count, 6), np.nan)
    errors[:, 0] = np.where(holes[:, 0], np.nan, rng.normal(size=count) * 0.3)
    errors[:, 1] = 0.25
    errors[:, 2] = np.where(holes[:, 1], np.nan, colour != other)
    errors[:, 3:5] = 0.0
    rebuilt = length + 10 * np.nan_to_num(errors[:, 0])

    def texts(places, absent=()):
        cells = [colours[place] for place in places]
        return [None if lacks else cell for cell, lacks in zip(cells, absent, strict=True)]

    nothing = np.zeros(count, dtype=bool)
    original = {
        "length": [None if lacks else x for x, lacks in zip(length, holes[:, 0], strict=True)],
        "visits": list(range(count)),
        "colour": texts(colour, holes[:, 1]),
        "sold": [True] * count,
        "unit": ["mm"] * count,
        "key": [f"key {row}" for row in range(count)],
    }
    remade = original | {
        "length": rebuilt.tolist(),
        "colour": texts(other, nothing),
        "key": pa.nulls(count, pa.string()),
    }
    names = [named(name) for name in original]
    lacking = np.zeros((count, 6), dtype=bool)
    lacking[:, [0, 2]] = holes
    data = TableReportData(
        **{name: getattr(report_data(count, 6), name) for name in COMMON},
        columns=tuple(
            ColumnFacts(name=name, kind=kind, detail=detail, missing_share=float(share), **more)
            for name, (kind, detail, more), share in zip(
                names, TABLE_COLUMNS, lacking.mean(axis=0), strict=True
            )
        ),
        original=pa.table(dict(zip(names, original.values(), strict=True))),
        rebuilt=pa.table(dict(zip(names, remade.values(), strict=True))),
        errors=errors,
        groupings=(Grouping(names[2], colours, np.where(holes[:, 1], -1, colour)),),
        missing=find_missing(lacking, names, count),
    )
    return dataclasses.replace(data, **changes)


@pytest.fixture(scope="session")
def make_table():
    """Build the data of a report on a table; a call says what differs from the usual."""
    return table_report_data


@pytest.fixture(scope="session")
def make():
    """Build the data of a report; a call says what differs from the usual."""
    return report_data


@pytest.fixture
def written(tmp_path):
    """Write a report of the given data and read it back."""

    def call(data):
        path = tmp_path / "report.html"
        write_report(path, data, force=True)
        return Page(path)

    return call
