"""The report: what it shows, what it must never do, and the shapes it has to bear."""

import base64
import dataclasses
import hashlib
import io
import json
import re
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image
from plotly.offline import get_plotlyjs

from autoencode.errors import DataError
from autoencode.report import ReportData, write_report
from autoencode.report_parts.curves import epochs_across_phases, geometric_choice
from autoencode.report_parts.markup import percent, ratio_text, seconds_text, value_text

HOSTILE = "</script><script>alert(1)</script><img src=http://evil.example/x onerror=alert(1)>\"'&"
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


def make(count=60, columns=6, components=3, *, shape=None, **changes):
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


def written(tmp_path, data):
    path = tmp_path / "report.html"
    write_report(path, data, force=True)
    return Page(path)


def row_errors(data):
    error = (data.reconstructions - data.rows) / data.column_scale
    return np.sqrt(np.mean(error**2, axis=1))


def pixels(uri):
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))


CASES = {
    "table": lambda: make(),
    "pictures": lambda: make(columns=64, shape=(8, 8)),
    "colour": lambda: make(columns=75, shape=(5, 5, 3)),
    "tall pictures": lambda: make(9, columns=1200, shape=(300, 4)),
    "profile": lambda: make(columns=31),
    "one component": lambda: make(columns=64, components=1, shape=(8, 8)),
    "one column": lambda: make(columns=1, components=1),
    "one row": lambda: make(1),
    "two rows": lambda: make(2),
    "one picture": lambda: make(1, columns=9, shape=(3, 3)),
    "no history": lambda: make(history={}),
    "one epoch": lambda: make(history={"epoch": [1], "train_total": [0.5]}),
    "no level": lambda: make(level=None),
    "constant": lambda: make(
        rows=np.ones((60, 6)), reconstructions=np.ones((60, 6)), column_scale=np.zeros(6)
    ),
    "constant pictures": lambda: make(
        columns=9, shape=(3, 3), rows=np.ones((60, 9)), reconstructions=np.ones((60, 9))
    ),
    "not finite": lambda: make(reconstructions=np.full((60, 6), np.nan)),
    "not finite pictures": lambda: make(
        columns=9, shape=(3, 3), reconstructions=np.full((60, 9), np.inf)
    ),
    "float32": lambda: make(rows=make().rows.astype(np.float32)),
    "no error at all": lambda: make(
        curve={key: np.zeros_like(value) for key, value in make().curve.items()}
        | {"size": np.arange(1, 7)}
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_every_page_is_sound(tmp_path, case):
    page = written(tmp_path, CASES[case]())
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


@pytest.mark.parametrize("case", CASES)
def test_figures_are_what_plotly_understands(tmp_path, case):
    page = written(tmp_path, CASES[case]())
    style = page.all("style")[0]["text"]
    for figure in page.figures.values():
        source = json.dumps(figure)
        for colour in set(re.findall(r'"(--[\w-]+)"', source)):
            assert style.count(f"{colour}:") == 2, f"{colour} in the light and the dark scheme"
        go.Figure(json.loads(re.sub(r'"--[\w-]+"', '"#123456"', source)))


@pytest.mark.parametrize("case", ["table", "pictures"])
def test_nothing_is_asked_of_the_network(tmp_path, case):
    page = written(tmp_path, CASES[case]())
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


def test_only_the_pages_own_scripts_may_run(tmp_path):
    page = written(tmp_path, make())
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    scripts = [get_plotlyjs(), page.all("script")[2]["text"]]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()) for text in scripts]
    assert rules["script-src"] == " ".join(f"'sha256-{digest.decode()}'" for digest in hashes)
    assert "connect-src" not in rules
    assert page.source.count(get_plotlyjs()) == 1
    assert page.source.index("charset") < page.source.index("Content-Security-Policy") < 1024


def test_hostile_text_stays_text(tmp_path):
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
    hostile, tame = written(tmp_path, data), written(tmp_path, make(columns=40))
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


def test_text_that_is_not_unicode_can_be_written(tmp_path):
    names = ("bad \udcff", "nul \x00", "x" * 100_000, "$title", "new\nline", "")
    page = written(tmp_path, make(names=names))
    assert len(page.source) < len(get_plotlyjs()) + 200_000
    assert "$title" in page.text


def test_same_data_gives_the_same_bytes(tmp_path):
    first = written(tmp_path, make(columns=64, shape=(8, 8))).source
    assert written(tmp_path, make(columns=64, shape=(8, 8))).source == first


def test_key_figures_agree_with_the_curve(tmp_path):
    data = make()
    page = written(tmp_path, data)
    shown = [strong["text"] for strong in page.all("strong")]
    place = data.chosen_size - 1
    explained = data.curve["explained_variance"][place]
    assert shown == ["3", percent(explained), "0.75×", "2 : 1", "1 min 15 s"]
    assert percent(data.curve["pca_explained_variance"][place]) in page.text
    assert "25.0% less squared error" in page.text
    assert "the fewest that explain 45%" in page.text


def test_key_figures_say_when_the_level_or_the_network_failed(tmp_path):
    page = written(tmp_path, make(components=5, level=0.99))
    assert "99% was asked and not reached" in page.text
    assert "this model is PCA" in page.text
    assert "1.00×" in page.text


def test_time_comes_from_the_facts_else_from_the_history(tmp_path):
    assert "about a minute" in written(tmp_path, make(facts={"seconds": "about a minute"})).text
    shown = [strong["text"] for strong in written(tmp_path, make(facts={})).all("strong")]
    assert shown[-1] == "5.5 s"
    assert len(written(tmp_path, make(facts={}, history={})).all("strong")) == 4


def test_curve_table_and_figure_agree_with_the_data(tmp_path):
    data = make()
    page = written(tmp_path, data)
    _, *lines = page.table("Held-out variance explained")
    for place, line in enumerate(lines):
        assert line == [
            str(place + 1),
            percent(data.curve["explained_variance"][place]),
            percent(data.curve["pca_explained_variance"][place]),
            "0.75×" if place < 4 else "1.00×",
            "network" if place < 4 else "PCA",
        ]
    assert len(lines) == 6
    best, pca, ratio = page.figures["curve"]["data"]
    np.testing.assert_allclose(best["y"], data.curve["explained_variance"], rtol=1e-5)
    np.testing.assert_allclose(pca["y"], data.curve["pca_explained_variance"], rtol=1e-5)
    np.testing.assert_allclose(ratio["y"], [0.75] * 4 + [1.0] * 2, rtol=1e-5)
    assert page.all("tr", **{"aria-current": "true"})[0]["text"].startswith("3")
    labels = [mark["label"]["text"] for mark in page.figures["curve"]["layout"]["shapes"]]
    assert [text.strip() for text in labels] == ["3 chosen", "", "45% asked"]


def test_long_curve_is_a_short_table(tmp_path):
    page = written(tmp_path, make(columns=300, components=77))
    _, *lines = page.table("Held-out variance explained")
    sizes = [int(line[0]) for line in lines]
    assert len(sizes) <= 20
    assert {1, 77, 300} <= set(sizes)
    assert page.figures["curve"]["layout"]["xaxis"]["type"] == "log"


def test_geometric_choice_keeps_ends_and_chosen():
    sizes = np.arange(1, 1001)
    for chosen in (1, 333, 1000):
        places = geometric_choice(sizes, chosen, 12)
        assert len(places) <= 12
        assert {1, chosen, 1000} <= set(sizes[places])
        assert (np.diff(places) > 0).all()


def test_examples_of_a_table_are_the_best_median_and_worst(tmp_path):
    data = make(61)
    page = written(tmp_path, data)
    order = np.argsort(row_errors(data))
    for title, row in (("Best", order[0]), ("Median", order[30]), ("Worst", order[-1])):
        heading = next(h["text"] for h in page.all("h3") if h["text"].startswith(title))
        number = data.row_numbers[row]
        assert heading.split() == [
            title,
            "row",
            str(number),
            "·",
            "error",
            value_text(row_errors(data)[row], 3),
        ]
        _, *lines = page.table(f"{title} row")
        error = (data.reconstructions - data.rows)[row] / data.column_scale
        columns = np.argsort(-np.abs(error))
        assert lines == [
            [
                f"name_{column}",
                value_text(data.rows[row, column]),
                value_text(data.reconstructions[row, column]),
                value_text(error[column], 2),
            ]
            for column in columns
        ]


def test_examples_of_pictures_show_their_pixels(tmp_path):
    data = make(columns=64, shape=(8, 8))
    page = written(tmp_path, data)
    order = np.argsort(row_errors(data), kind="stable")
    originals = page.all("img", class_="original")
    rows = [*order[:4], *order[28:32], *order[-4:][::-1]]
    names = [f"row {number}, original" for number in data.row_numbers[rows]]
    assert [image["alt"] for image in originals] == names
    low, high = data.rows.min(), data.rows.max()
    for kind, values in (("original", data.rows), ("reconstruction", data.reconstructions)):
        shown = pixels(page.all("img", class_=kind)[0]["src"])
        assert shown.shape == (128, 128)
        grey = np.clip((values[order[0]].reshape(8, 8) - low) / (high - low), 0, 1) * 255
        np.testing.assert_array_equal(shown, np.repeat(np.repeat(np.rint(grey), 16, 0), 16, 1))


def test_error_pictures_are_red_where_too_bright(tmp_path):
    data = make(3, columns=4, components=2, shape=(2, 2))
    wrong = data.rows.copy()
    wrong[0] += [8.0, -8.0, 4.0, 0.0]
    page = written(tmp_path, dataclasses.replace(data, reconstructions=wrong))
    shown = pixels(page.all("img", class_="error")[2]["src"])[::64, ::64]
    assert shown[..., 3].tolist() == [[255, 255], [128, 0]]
    assert shown[0, 0, 0] > shown[0, 0, 2]
    assert shown[0, 1, 0] < shown[0, 1, 2]


def test_profiles_show_the_largest_error_of_wide_rows(tmp_path):
    data = make(9, columns=5000, shape=(5000,), column_scale=np.ones(5000))
    data.reconstructions[:, 4321] += 100.0
    page = written(tmp_path, data)
    original, rebuilt = page.figures["profile-0"]["data"]
    assert len(original["x"]) <= 400
    place = original["x"].index(4321)
    assert rebuilt["y"][place] - original["y"][place] > 80
    assert page.table("Best row")[1][0] == "column 4321"


def test_error_by_column_agrees_with_the_data(tmp_path):
    data = make(columns=50)
    page = written(tmp_path, data)
    error = np.sqrt(np.mean(((data.reconstructions - data.rows) / data.column_scale) ** 2, axis=0))
    order = np.argsort(-error)[:40][::-1]
    bars, marks = page.figures["columns"]["data"]
    np.testing.assert_allclose(bars["x"], error[order], rtol=1e-5)
    np.testing.assert_allclose(
        marks["x"], data.rows.std(axis=0)[order] / data.column_scale[order], rtol=1e-5
    )
    names = page.figures["columns"]["layout"]["yaxis"]["ticktext"]
    assert names == [f"name_{column}" for column in order]
    assert "40 largest of 50 are drawn, 10 more" in page.text


def test_heat_map_agrees_with_the_data(tmp_path):
    data = make(columns=64, shape=(8, 8))
    heat = written(tmp_path, data).figures["errors"]["data"][0]
    error = np.sqrt(np.mean(((data.reconstructions - data.rows) / data.column_scale) ** 2, axis=0))
    np.testing.assert_allclose(heat["z"], error.reshape(8, 8), rtol=1e-3)
    assert heat["zmax"] >= error.max()


def test_points_carry_row_numbers_and_thumbnails(tmp_path):
    data = make(columns=64, shape=(8, 8))
    page = written(tmp_path, data)
    points = page.figures["codes"]["data"][0]
    np.testing.assert_allclose(points["x"], data.codes[:, 0], rtol=1e-4)
    np.testing.assert_allclose(points["y"], data.codes[:, 1], rtol=1e-4)
    assert [number for number, _ in points["customdata"]] == data.row_numbers.tolist()
    sprite = page.data["sprite"]
    sheet = pixels(page.all("img", id="sprite")[0]["src"])
    low, high = data.rows.min(), data.rows.max()
    for point, tile in sprite["tiles"]:
        top, left = 8 * (tile // sprite["across"]), 8 * (tile % sprite["across"])
        grey = np.rint((data.rows[point].reshape(8, 8) - low) / (high - low) * 255)
        np.testing.assert_array_equal(sheet[top : top + 8, left : left + 8], grey)
    assert len(sprite["tiles"]) == 60


def test_history_shows_every_term_and_the_phases(tmp_path):
    data = make()
    figure = written(tmp_path, data).figures["history"]
    names = [trace["name"] for trace in figure["data"]]
    assert names == [
        "training: total",
        "training: l1",
        "held-out",
        "best of its phase",
        "learning rate",
    ]
    held, best = figure["data"][2], figure["data"][3]
    assert held["y"][-4:] == [None, 0.35, 0.3, None]
    assert held["line"]["width"] > figure["data"][0]["line"]["width"]
    assert (best["x"], best["y"]) == ([8.0, 11.0], [0.4, 0.3])
    assert [band["label"]["text"] for band in figure["layout"]["shapes"]] == ["nested", "fine"]
    assert figure["layout"]["yaxis"]["type"] == "log"


@pytest.mark.parametrize(
    ("epochs", "counted"),
    [
        ([1, 2, 3, 1, 2], [1, 2, 3, 4, 5]),
        ([0, 1, 2, 0, 1], [0, 1, 2, 3, 4]),
        ([1, 2, 3, 4], [1, 2, 3, 4]),
        ([1, 1, 1], [1, 2, 3]),
        ([5], [5]),
    ],
)
def test_epochs_count_on_through_the_phases(epochs, counted):
    assert epochs_across_phases({"epoch": epochs}) == counted


def test_long_history_is_thinned_but_keeps_the_best(tmp_path):
    held_out = np.linspace(2, 1, 5000)
    held_out[3333] = 0.5
    history = {"epoch": range(1, 5001), "held_out": held_out, "train_total": held_out}
    held = written(tmp_path, make(history=history)).figures["history"]["data"][1]
    assert len(held["x"]) <= 602
    assert min(held["y"]) == 0.5


def test_many_columns_and_many_rows_stay_small(tmp_path):
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
    assert len(written(tmp_path, data).source) < extra
    many = written(tmp_path, make(4000, columns=75, shape=(5, 5, 3)))
    assert len(many.figures["codes"]["data"][0]["x"]) == 3000
    assert len(many.data["sprite"]["tiles"]) <= 1000
    assert len(many.source) < len(get_plotlyjs()) + 1_100_000


def test_page_suits_phones_dark_screens_and_paper(tmp_path):
    page = written(tmp_path, make())
    assert page.all("meta", name="viewport")[0]["content"] == "width=device-width, initial-scale=1"
    style = page.all("style")[0]["text"]
    for query in ("(max-width: 640px)", "(prefers-color-scheme: dark)", "print"):
        assert f"@media {query}" in style


def test_existing_file_is_kept_unless_forced(tmp_path):
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
def test_parts_that_do_not_fit_are_refused(tmp_path, changes, message):
    path = tmp_path / "report.html"
    with pytest.raises(DataError, match=message):
        write_report(path, make(**changes))
    assert not path.exists()


def test_numbers_are_written_for_reading():
    assert [percent(share) for share in (0.5, 0.99996, 1.0, -0.2)] == [
        "50.0%",
        "99.99%",
        "100.0%",
        "−20.0%",
    ]
    assert [value_text(v) for v in (0.0, -1.5, 1234567.0, 1e-7)] == [
        "0",
        "−1.5",
        "1,234,567",
        "1e−07",
    ]
    assert [ratio_text(ratio) for ratio in (0.5, 0.0123, 1.0)] == ["0.50×", "0.012×", "1.00×"]
    assert [seconds_text(s) for s in (0.4123, 41.2, 221, 3725)] == [
        "0.41 s",
        "41 s",
        "3 min 41 s",
        "1 h 2 min",
    ]
    unknown = float("nan")
    assert {f(unknown) for f in (percent, value_text, ratio_text, seconds_text)} == {"–"}
