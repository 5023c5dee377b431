"""What the page shows of the rows: examples, errors by column, codes with thumbnails."""

import base64
import dataclasses
import io

import numpy as np
from PIL import Image

from autoencode.report_parts.markup import value_text


def row_errors(data):
    error = (data.reconstructions - data.rows) / data.column_scale
    return np.sqrt(np.mean(error**2, axis=1))


def pixels(uri):
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))


def test_examples_of_a_table_are_the_best_median_and_worst(written, make):
    data = make(61)
    page = written(data)
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


def test_examples_of_pictures_show_their_pixels(written, make):
    data = make(columns=64, shape=(8, 8))
    page = written(data)
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


def test_error_pictures_are_red_where_too_bright(written, make):
    data = make(3, columns=4, components=2, shape=(2, 2))
    wrong = data.rows.copy()
    wrong[0] += [8.0, -8.0, 4.0, 0.0]
    page = written(dataclasses.replace(data, reconstructions=wrong))
    shown = pixels(page.all("img", class_="error")[2]["src"])[::64, ::64]
    assert shown[..., 3].tolist() == [[255, 255], [128, 0]]
    assert shown[0, 0, 0] > shown[0, 0, 2]
    assert shown[0, 1, 0] < shown[0, 1, 2]


def test_profiles_show_the_largest_error_of_wide_rows(written, make):
    data = make(9, columns=5000, shape=(5000,), column_scale=np.ones(5000))
    data.reconstructions[:, 4321] += 100.0
    page = written(data)
    original, rebuilt = page.figures["profile-0"]["data"]
    assert len(original["x"]) <= 400
    place = original["x"].index(4321)
    assert rebuilt["y"][place] - original["y"][place] > 80
    assert page.table("Best row")[1][0] == "column 4321"


def test_error_by_column_agrees_with_the_data(written, make):
    data = make(columns=50)
    page = written(data)
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


def test_heat_map_agrees_with_the_data(written, make):
    data = make(columns=64, shape=(8, 8))
    heat = written(data).figures["errors"]["data"][0]
    error = np.sqrt(np.mean(((data.reconstructions - data.rows) / data.column_scale) ** 2, axis=0))
    np.testing.assert_allclose(heat["z"], error.reshape(8, 8), rtol=1e-3)
    assert heat["zmax"] >= error.max()


def test_points_carry_row_numbers_and_thumbnails(written, make):
    data = make(columns=64, shape=(8, 8))
    page = written(data)
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
