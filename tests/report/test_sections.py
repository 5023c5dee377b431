"""What the page says of the fit: its key figures, the curve over sizes, the history."""

import numpy as np
import pytest

from autoencode.report_parts.curves import (
    epochs_across_phases,
    geometric_choice,
    history_figure,
)
from autoencode.report_parts.markup import percent, ratio_text, seconds_text, value_text


def test_key_figures_agree_with_the_curve(written, make):
    data = make()
    page = written(data)
    shown = [strong["text"] for strong in page.all("strong")]
    place = data.chosen_size - 1
    explained = data.curve["explained_variance"][place]
    assert shown == ["3", percent(explained), "0.75×", "2 : 1", "1 min 15 s"]
    assert percent(data.curve["pca_explained_variance"][place]) in page.text
    assert "25.0% less squared error" in page.text
    assert "the fewest that explain 45%" in page.text


def test_key_figures_say_when_the_level_or_the_network_failed(written, make):
    page = written(make(components=5, level=0.99))
    assert "99% was asked and not reached" in page.text
    assert "this model is PCA" in page.text
    assert "1.00×" in page.text


def test_time_comes_from_the_facts_else_from_the_history(written, make):
    assert "about a minute" in written(make(facts={"seconds": "about a minute"})).text
    shown = [strong["text"] for strong in written(make(facts={})).all("strong")]
    assert shown[-1] == "5.5 s"
    assert len(written(make(facts={}, history={})).all("strong")) == 4


def test_curve_table_and_figure_agree_with_the_data(written, make):
    data = make()
    page = written(data)
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


def test_long_curve_is_a_short_table(written, make):
    page = written(make(columns=300, components=77))
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


def test_history_shows_every_term_and_the_phases(written, make):
    data = make()
    figure = written(data).figures["history"]
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


def test_a_loss_that_is_always_zero_is_not_drawn():
    history = {
        "epoch": [1, 2, 3],
        "train_code": [0.0, 0.0, 0.0],
        "train_reconstruction": [48.0, 47.0, 46.0],
        "held_out": [1.0, 0.9, 0.8],
    }
    figure = history_figure(history)
    names = [trace["name"] for trace in figure["data"]]
    assert names == ["training: reconstruction", "held-out", "best of its phase"]
    assert figure["layout"]["yaxis"]["type"] == "log"


def test_long_history_is_thinned_but_keeps_the_best(written, make):
    held_out = np.linspace(2, 1, 5000)
    held_out[3333] = 0.5
    history = {"epoch": range(1, 5001), "held_out": held_out, "train_total": held_out}
    held = written(make(history=history)).figures["history"]["data"][1]
    assert len(held["x"]) <= 602
    assert min(held["y"]) == 0.5


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
