"""Dates and times: formats of text, cycles, grids and limits."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from autoencode.preprocess.column_kinds.date_texts import DAY_NANOSECONDS, DateFormat, find_format
from autoencode.preprocess.columns import Schema

START = datetime.datetime(2023, 11, 5, 6, 30)
HOUR = DAY_NANOSECONDS // 24


def fitted(column: Any, spec: str | None = None) -> Any:
    return Schema.look(pa.table({"x": column}), {"x": spec} if spec else None).blocks[0]


def hourly(count: int, step: int = 1) -> list[datetime.datetime]:
    return [START + datetime.timedelta(hours=step * i) for i in range(count)]


def moments() -> list[datetime.datetime]:
    rng = np.random.default_rng(0)
    seconds = rng.integers(0, 40 * 365 * 86_400, 500)
    return [datetime.datetime(1975, 1, 1) + datetime.timedelta(seconds=int(s)) for s in seconds]


@pytest.mark.parametrize(
    ("pattern", "directive"),
    [
        ("YYYY-MM-DD", "%Y-%m-%d"),
        ("YYYY/MM/DD", "%Y/%m/%d"),
        ("YYYY-MM-DDThh:mm:ssZ", "%Y-%m-%dT%H:%M:%SZ"),
        ("YYYY-MM-DDThh:mm:ss+01:00", "%Y-%m-%dT%H:%M:%S+01:00"),
        ("YYYY-MM-DD hh:mm:ss UTC", "%Y-%m-%d %H:%M:%S UTC"),
        ("YYYY-MM-DD hh:mm:ss.ffffff", "%Y-%m-%d %H:%M:%S.%f"),
        ("YYYY-MM-DD hh:mm", "%Y-%m-%d %H:%M"),
        ("DD.MM.YYYY", "%d.%m.%Y"),
        ("DD.MM.YYYY hh:mm", "%d.%m.%Y %H:%M"),
        ("D.M.YYYY", "%-d.%-m.%Y"),
        ("DD.MM.YY", "%d.%m.%y"),
        ("DD/MM/YYYY", "%d/%m/%Y"),
        ("MM/DD/YYYY", "%m/%d/%Y"),
        ("M/D/YYYY h:mm", "%-m/%-d/%Y %-H:%M"),
        ("MM/DD/YY hh:mm:ss", "%m/%d/%y %H:%M:%S"),
        ("DD-MM-YYYY", "%d-%m-%Y"),
    ],
)
def test_text_is_read_and_written_exactly(pattern: str, directive: str) -> None:
    texts = [moment.strftime(directive) for moment in moments()]
    column = pa.array([*texts, None], pa.string())
    block = fitted(column)
    assert block.kind == "datetime"
    assert block.pattern == pattern
    cells = block.cells(pa.chunked_array([column]))
    assert block.column(cells).equals(column)
    days = [(moment.date() - datetime.date(1970, 1, 1)).days for moment in moments()]
    np.testing.assert_array_equal(cells[:-1, 0], days)
    if "%S" in directive:
        seconds = [m.hour * 3600 + m.minute * 60 + m.second for m in moments()]
        np.testing.assert_array_equal(cells[:-1, 1], 10**9 * np.array(seconds))


@pytest.mark.parametrize(
    ("texts", "pattern"),
    [
        # What could be either: the day first, but the month after slashes.
        (["01.02.2020", "03.04.2020"], "DD.MM.YYYY"),
        (["01/02/2020", "03/04/2020"], "MM/DD/YYYY"),
        (["01-02-2020", "03-04-2020"], "DD-MM-YYYY"),
        (["01.02.2020", "03.14.2020"], "MM.DD.YYYY"),
        (["01/02/2020", "13/04/2020"], "DD/MM/YYYY"),
        (["29.02.20", "1.3.20"], None),
        (["29.02.2020", "30.02.2020"], None),
        (["2019-02-29"], None),
        (["2020-02-29"], "YYYY-MM-DD"),
        (["2020-2-9", "2020-12-31"], "YYYY-M-D"),
        (["2020-12-31 24:00"], None),
        (["2020-12-31 23:60"], None),
        (["2020-12-31T23:59:59Z", "2020-12-31T23:59:59"], None),
        (["2020-12-31T23:59:59Z", "2020-12-31T23:59:59+00:00"], None),
        (["2020-12-31", "2020-12-31 10:00"], None),
        (["0000-12-31"], None),
        (["2020-12/31"], None),
        (["1.2.3"], None),
        (["192.168.1.10"], None),
        (["2020-12-31\n"], None),
        (["２０２０-12-31"], None),
        (["20201231"], None),
        (["hello"], None),
        ([""], None),
    ],
)
def test_format(texts: list[str], pattern: str | None) -> None:
    found = find_format(pa.array(texts, pa.large_string()))
    assert (found and found.pattern) == pattern


def test_two_digit_years_turn_in_1969() -> None:
    texts = pa.chunked_array([pa.array(["31.12.68", "01.01.69"], pa.large_string())])
    days, _, read = DateFormat("DD.MM.YY").read(texts)
    assert read.all()
    assert days.astype("datetime64[D]").astype(str).tolist() == ["2068-12-31", "1969-01-01"]


@pytest.mark.parametrize(
    ("column", "cycles"),
    [
        (hourly(5000), ("week", "day")),
        (hourly(12000), ("year", "week", "day")),
        (hourly(48), ("day",)),
        (hourly(300, 24), ("week",)),
        (hourly(30, 24 * 7), ()),
        (hourly(300, 24 * 7), ("year",)),
        ([datetime.date(year, 12, 31) for year in range(1990, 2020)], ("week",)),
        ([START, START + datetime.timedelta(minutes=1), START + datetime.timedelta(hours=1)], ()),
    ],
)
def test_only_cycles_that_show_are_values(column: list[Any], cycles: tuple[str, ...]) -> None:
    block = fitted(pa.array(column))
    assert block.cycles == cycles
    assert block.segments == (("gaussian", 1), *[("gaussian", 2)] * len(cycles))


@pytest.mark.parametrize(
    ("column", "grid"),
    [
        (pa.array(hourly(100)), (0, HOUR)),
        (pa.array(hourly(100, 7)), (0, HOUR)),
        (pa.array(hourly(100, 48)), (2, 0)),
        (pa.array([5, 12, 33], pa.int32()).view(pa.date32()), (7, 0)),
        (pa.array([5, 5 + 1000, 5 + 250], pa.timestamp("ms")), (0, 250 * 10**6)),
    ],
)
def test_dates_stay_on_the_grid_of_the_column(column: pa.Array, grid: tuple[int, int]) -> None:
    block = fitted(column)
    assert (block.grid_days, block.grid_nanoseconds) == grid
    cells = torch.from_numpy(block.cells(pa.chunked_array([column])))
    values = block.spread(cells)
    rng = torch.Generator().manual_seed(0)
    noisy = values + 1e-7 * torch.randn(values.shape, generator=rng, dtype=torch.float64)
    assert torch.equal(block.gather(noisy), cells)
    far = values + 30 * torch.randn(values.shape, generator=rng, dtype=torch.float64)
    for clip in (True, False):
        found = block.gather(far, clip=clip)
        nanoseconds = found - cells[:1]
        if grid[0]:
            assert (nanoseconds[:, 0] % grid[0] == 0).all()
            assert (nanoseconds[:, 1] == 0).all()
        else:
            assert (nanoseconds[:, 1] % grid[1] == 0).all()
            assert ((found[:, 1] >= 0) & (found[:, 1] < DAY_NANOSECONDS)).all()
        times, known = (x[:, 0] + x[:, 1] / DAY_NANOSECONDS for x in (found, cells))
        inside = (times >= known.min()) & (times <= known.max())
        assert bool(inside.all()) == clip


def test_cycles_refine_a_rough_time() -> None:
    block = fitted(pa.array(hourly(20000)))
    cells = torch.tensor([[19700.0, 17 * HOUR + HOUR / 2]], dtype=torch.float64)
    values = block.spread(cells)
    late = values.clone()
    late[:, 0] += 60
    # Two months off, but sure of the season, the weekday and the hour.
    assert torch.equal(block.gather(late), cells)
    # Unsure of everything but the day of the week and the hour.
    late[:, 0] = values[:, 0] + 3
    late[:, 1:3] *= 0.1
    assert torch.equal(block.gather(late), cells)
    # Unsure of all cycles: what has elapsed is all there is.
    late[:, 1:] *= 0.1
    assert block.gather(late)[0, 0] == 19703


def test_limits_hold_where_the_observed_range_does_not() -> None:
    texts = fitted(pa.array(["31.12.99", "01.02.01", "05.02.01"]))
    far = torch.tensor([[1e9], [-1e9]], dtype=torch.float64).expand(2, texts.n_values)
    assert texts.column(texts.gather(far).numpy()).to_pylist() == ["05.02.01", "31.12.99"]
    free = texts.gather(far, clip=False).numpy()
    assert texts.column(free).to_pylist() == ["31.12.68", "01.01.69"]
    for unit in ("s", "ms", "us", "ns"):
        column = pa.array([1, 5, 10**6], pa.timestamp(unit, "Asia/Tokyo"))
        block = fitted(column)
        far = torch.tensor([[1e30], [-1e30]], dtype=torch.float64).expand(2, block.n_values)
        free = block.gather(far, clip=False).numpy()
        ends = block.column(free).cast(pa.int64()).to_pylist()
        assert ends == [2**63 - 1, -(2**63)]


def test_nats_are_those_of_days() -> None:
    block = fitted(pa.array(hourly(5000)))
    cells = block.cells(pa.chunked_array([pa.array([START])]))
    values = block.spread(torch.from_numpy(cells)) + 2
    off = torch.full((block.n_values,), 4.0, dtype=torch.float64)
    nats = block.nats(torch.from_numpy(cells), values, off)
    assert nats.item() == pytest.approx(-0.125 - np.log(4) - 0.5 * np.log(2 * np.pi))


def test_draws_move_the_time_and_keep_sure_cycles() -> None:
    block = fitted(pa.array(hourly(5000)))
    cells = torch.tensor([[19700.0, 17 * HOUR + HOUR / 2]], dtype=torch.float64)
    values = block.spread(cells).expand(500, -1)
    normals = torch.randn(500, block.n_draws, generator=torch.Generator().manual_seed(0)).double()
    residuals = torch.zeros(block.n_values, 100, dtype=torch.float64)
    residuals[0] = torch.linspace(-30, 30, 100)
    drawn = block.draw(values, normals, residuals)
    assert (drawn[:, 1] == cells[0, 1]).all()
    weeks = (drawn[:, 0] - cells[0, 0]) / 7
    assert torch.equal(weeks, weeks.round())
    assert weeks.unique().tolist() == [-4, -3, -2, -1, 0, 1, 2, 3, 4]
    # Unsure of the hour: it moves, too.
    residuals[3:] = torch.linspace(-0.8, 0.8, 100)
    assert len(block.draw(values, normals, residuals)[:, 1].unique()) > 4


def test_descriptions_show_dates_as_they_are_written() -> None:
    assert fitted(pa.array(hourly(12000))).describe() == (
        "datetime, 2023-11-05 06:30:00.000000 to 2025-03-19 05:30:00.000000, "
        "cycles: year, week, day"
    )
    assert fitted(["1.2.2020", "3.2.2020", "7.2.2020"]).describe() == (
        "datetime, 1.2.2020 to 7.2.2020"
    )
