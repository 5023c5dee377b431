"""Rows that are drawn look like those of the fit, and what cannot be drawn is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from autoencode import Autoencoder, VariationalAutoencoder, load
from autoencode.code_mixture import choose_mixture, grouped, standard_normal
from autoencode.errors import DataError, SpecError
from autoencode.sampler import Chances, Margins
from autoencode.sampler_fit import posterior_draws
from autoencode.sampling import decimals


def table(n: int = 600) -> pd.DataFrame:
    """Two kinds of things: size and weight by kind, a count, and a number with steps."""
    rng = np.random.default_rng(0)
    kind = rng.choice(["ant", "bee", "cow"], size=n, p=[0.6, 0.3, 0.1])
    size = np.where(kind == "cow", 8.0, np.where(kind == "bee", 2.0, 1.0)) + rng.normal(0, 0.2, n)
    return pd.DataFrame(
        {
            "kind": pd.Categorical(kind),
            "size": size,
            "weight": 3 * size + rng.normal(0, 0.5, n),
            "legs": np.where(kind == "cow", 4, 6) + rng.integers(0, 2, n),
            "price": np.round(size) * 2.5,
            "sold": rng.random(n) < 0.2,
        }
    )


@pytest.fixture(scope="module")
def model() -> Autoencoder:
    return Autoencoder(0.9, max_epochs=5, random_state=0).fit(table())


def test_rows_are_of_the_kind_that_was_fitted(model: Autoencoder) -> None:
    real, drawn = table(), model.sample(500, random_state=1)
    assert list(drawn.columns) == list(real.columns)
    assert (drawn.dtypes == real.dtypes).all()
    assert drawn["legs"].isin(real["legs"]).all()
    assert drawn["price"].isin(real["price"]).all()
    assert drawn["size"].between(real["size"].min(), real["size"].max()).all()
    assert not drawn.isna().any().any()


def test_columns_are_spread_as_they_were(model: Autoencoder) -> None:
    real, drawn = table(), model.sample(4000, random_state=1)
    for name in ("kind", "legs", "price", "sold"):
        shares = [frame[name].value_counts(normalize=True).sort_index() for frame in (real, drawn)]
        assert abs(shares[0] - shares[1]).max() < 0.03, name
    for name in ("size", "weight"):
        levels = np.linspace(0.05, 0.95, 10)
        gaps = real[name].quantile(levels) - drawn[name].quantile(levels)
        assert gaps.abs().max() < 0.1 * real[name].std(), name


def test_columns_hang_together_as_they_did(model: Autoencoder) -> None:
    real, drawn = table(), model.sample(4000, random_state=1)
    means = [frame.groupby("kind", observed=True)["weight"].mean() for frame in (real, drawn)]
    assert abs(means[0] - means[1]).max() < 1.0
    both = [np.corrcoef(frame["size"], frame["weight"])[0, 1] for frame in (real, drawn)]
    assert abs(both[0] - both[1]) < 0.05


def test_the_same_seed_gives_the_same_rows_also_after_loading(
    model: Autoencoder, tmp_path: Path
) -> None:
    first = model.sample(50, random_state=3)
    pd.testing.assert_frame_equal(first, model.sample(50, random_state=3))
    assert not first.equals(model.sample(50, random_state=4))
    model.save(tmp_path / "m")
    again = load(tmp_path / "m").sample(50, random_state=3)
    pd.testing.assert_frame_equal(first, again)


def test_given_cells_are_there_and_tell_of_the_others(model: Autoencoder) -> None:
    real = table()
    drawn = model.sample(300, given={"kind": "cow"}, random_state=0)
    assert (drawn["kind"] == "cow").all()
    cows = real[real["kind"] == "cow"]
    assert abs(drawn["size"].mean() - cows["size"].mean()) < 0.3
    drawn = model.sample(300, given={"size": 2.0}, random_state=0)
    assert (drawn["size"] == 2.0).all()
    assert abs(drawn["weight"].mean() - 6.0) < 0.3
    low, high = drawn["weight"].quantile([0.25, 0.75])
    assert 0.4 < high - low < 1.2  # 0.67 among the rows
    assert (drawn["kind"] == "bee").mean() > 0.9


def test_given_cells_that_are_rare_are_warned_of(model: Autoencoder) -> None:
    with pytest.warns(UserWarning, match="given cells are rare"):
        model.sample(10, given={"kind": "cow", "size": 1.0, "weight": 24.0}, random_state=0)


@pytest.fixture(scope="module")
def grouped_rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.array(["left", "right"])[(np.arange(400) % 4 == 0).astype(int)]
    x = np.where(y == "left", -3.0, 3.0)[:, None] + rng.normal(size=(400, 4))
    return x, y


def test_classes_are_drawn_by_share_or_as_asked(
    grouped_rows: tuple[np.ndarray, np.ndarray],
) -> None:
    x, y = grouped_rows
    model = Autoencoder(2, conditional=True, hidden_layer_sizes=(), random_state=0).fit(x, y)
    rows, classes = model.sample(2000, random_state=0)
    assert abs((classes == "left").mean() - 0.75) < 0.04
    assert ((rows.mean(1) > 0) == (classes == "right")).mean() > 0.99
    rows, classes = model.sample(50, y="right", random_state=0)
    assert rows.mean(1).min() > 0
    assert (classes == "right").all()
    wanted = y[:20]
    rows, classes = model.sample(20, y=wanted, random_state=0)
    assert (classes == wanted).all()
    rows, classes = model.sample(100, y="left", given={0: -3.0}, random_state=0)
    assert (rows[:, 0] == -3.0).all()
    assert (classes == "left").all()


def test_an_array_has_the_spread_of_the_rows_and_not_of_the_reconstruction() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(800, 1)) @ np.ones((1, 5)) + rng.normal(size=(800, 5))
    model = Autoencoder(1, hidden_layer_sizes=(), random_state=0).fit(x)
    drawn = model.sample(5000, random_state=0)
    assert model.reconstruct(x).std() < 0.9 * x.std()
    assert drawn.std(0) == pytest.approx(x.std(0), rel=0.06)
    assert np.cov(drawn.T) == pytest.approx(np.cov(x.T), abs=0.2)


def test_pictures_are_drawn_without_noise_unless_asked() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 1, 1)) * np.ones((1, 4, 4)) + 0.1 * rng.normal(size=(100, 4, 4))
    model = Autoencoder(1, hidden_layer_sizes=(), random_state=0).fit(x)
    plain, noisy = (model.sample(200, random_state=0, noise=noise) for noise in ("auto", True))
    assert plain.shape == (200, 4, 4)
    assert plain.reshape(200, -1).std(1).mean() < 0.5 * noisy.reshape(200, -1).std(1).mean()


def test_constant_rows_are_drawn_as_they_are() -> None:
    model = Autoencoder(1, hidden_layer_sizes=(), random_state=0).fit(np.full((40, 3), 4.0))
    assert (model.sample(5, random_state=0) == 4.0).all()


def test_missing_cells_do_not_stand_in_the_way() -> None:
    frame = table().astype({"size": "float64"})
    frame.loc[::2, "size"] = np.nan
    frame.loc[1::2, "kind"] = None
    model = Autoencoder(0.9, max_epochs=2, random_state=0).fit(frame)
    assert not model.sample(100, random_state=0).isna().any().any()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n": 0}, SpecError, "n=0 should be"),
        ({"y": "ant"}, SpecError, "conditional=True"),
        ({"given": {"colour": 1}}, SpecError, "there is no column 'colour'"),
        ({"given": {"kind": "dog"}}, DataError, "'dog'"),
        ({"given": {"size": "large"}}, DataError, "large"),
        ({"given": {"size": None}}, DataError, "is not a cell"),
        ({"noise": "much"}, SpecError, "noise='much'"),
        ({"random_state": -1}, SpecError, "random_state=-1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    options: dict[str, object], error: type[Exception], message: str, model: Autoencoder
) -> None:
    with pytest.raises(error, match=message):
        model.sample(**options)


def test_a_shortened_model_asks_for_rows(model: Autoencoder) -> None:
    shorter = model.truncate(1)
    with pytest.raises(DataError, match="fit_prior"):
        shorter.sample(2)
    assert len(shorter.fit_prior(table(), random_state=0).sample(2)) == 2


def test_classes_need_a_model_that_asked_for_them() -> None:
    with pytest.raises(SpecError, match="needs y"):
        Autoencoder(1, conditional=True).fit(np.eye(5))
    with pytest.raises(SpecError, match="conditional='yes'"):
        Autoencoder(1, conditional="yes").fit(np.eye(5), np.arange(5))


def test_the_density_is_that_of_its_parts() -> None:
    from scipy.stats import multivariate_normal

    rng = np.random.default_rng(0)
    codes = np.concatenate([rng.normal(-3, 0.5, (300, 2)), rng.normal(3, 1.0, (300, 2))])
    mixture, labels, candidates, _ = choose_mixture(codes, codes, np.zeros(600, np.intp), rng)
    expected = sum(
        share * multivariate_normal(mean, factor @ factor.T).pdf(codes)
        for share, mean, factor in zip(mixture.shares, mixture.means, mixture.factors, strict=True)
    )
    assert mixture.log_density(codes) == pytest.approx(np.log(expected), rel=1e-9)
    assert np.bincount(labels) / 600 == pytest.approx(mixture.shares)
    by_parts = {entry["parts"]: entry["held_out"] for entry in candidates}
    assert max(by_parts.values()) > by_parts[1] + 0.5  # two groups are not one
    assert sum(entry["chosen"] for entry in candidates) == 1


def test_n01_is_the_known_density() -> None:
    assert standard_normal(3).log_density(np.zeros((1, 3)))[0] == pytest.approx(
        -1.5 * np.log(2 * np.pi)
    )


def test_groups_that_are_apart_are_found() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], 20)
    points = 10.0 * np.eye(3)[truth] + 0.1 * rng.normal(size=(60, 3))
    found = grouped(points, 3, rng)
    assert len(set(zip(truth.tolist(), found.tolist(), strict=True))) == 3


def test_numbers_have_as_many_decimals_as_the_observed_ones() -> None:
    rng = np.random.default_rng(0)
    size = rng.normal(3, 1, 300)
    table = pa.table(
        {"cents": np.round(size, 2), "exact": size * 0.37 + 0.1 * rng.normal(size=300)}
    )
    drawn = Autoencoder(1, hidden_layer_sizes=(), random_state=0).fit(table).sample(200)
    cents = drawn["cents"].to_numpy()
    np.testing.assert_array_equal(cents, np.round(cents, 2))
    assert decimals(drawn["exact"].to_numpy()) is None
    assert len(np.unique(cents)) > 100
    halves = np.round(2 * size[:, None] + rng.normal(size=(300, 3)), 1).astype(np.float32)
    model = Autoencoder(1, hidden_layer_sizes=(), random_state=0).fit(halves)
    found = model.sample(200)
    np.testing.assert_array_equal(found.astype(np.float32), np.round(found, 1).astype(np.float32))
    assert [decimals(np.array(x)) for x in ([1.0, 2.0], [0.5, 1.0], [1 / 3])] == [0, 1, None]


@pytest.mark.parametrize("posterior", ["gaussian", "flow"])
def test_codes_are_drawn_from_posteriors(posterior: str) -> None:
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 6.28, 400)
    ring = np.stack([np.cos(angle), np.sin(angle), np.cos(2 * angle)], 1)
    x = ring @ rng.normal(size=(3, 6)) + 0.3 * rng.normal(size=(400, 6))
    model = VariationalAutoencoder(
        2, posterior=posterior, hidden_layer_sizes=(16,), max_epochs=60, random_state=0
    ).fit(x)
    assert model.gate_ == 1
    codes, drawn = posterior_draws(model._state, x, np.random.default_rng(1))
    np.testing.assert_allclose(codes, model.transform(x), rtol=0, atol=1e-9)
    many = [posterior_draws(model._state, x, np.random.default_rng(s))[1] for s in range(200)]
    spread = np.std(many, axis=0)
    assert (spread > 0.01).all()
    assert (np.abs(np.mean(many, 0) - codes) < 1.0 * spread).mean() > 0.9
    assert not np.array_equal(codes, drawn)


def test_files_keep_margins_in_little_room() -> None:
    observed = np.array([np.repeat([1.0, 2.5, 7.0], 43), np.repeat([0.0, 1e9 + 0.1, 2e9], 43)])
    drawn = np.sort(np.random.default_rng(0).normal(size=(2, 129)), axis=1).astype(np.float32)
    margins = Margins(np.array([0, 3]), drawn.astype(float), observed, np.array([True, True]))
    tensors = margins.tensors()
    assert tensors["margin_observed"].shape == (6,)
    assert sum(part.nbytes for part in tensors.values()) < 0.3 * 2 * observed.nbytes
    again = Margins.from_tensors(tensors)
    np.testing.assert_array_equal(again.observed, observed)
    np.testing.assert_array_equal(again.drawn, margins.drawn)
    smooth = Margins(margins.values, margins.drawn, margins.drawn, ~margins.stepped)
    assert "margin_repeats" not in smooth.tensors()
    np.testing.assert_array_equal(Margins.from_tensors(smooth.tensors()).observed, smooth.drawn)


def test_files_keep_the_shifts_of_categories_alone() -> None:
    shifts = np.zeros((3, 50))
    shifts[:, 7:9] = 0.5
    chances = Chances(np.ones(50), np.zeros(50), shifts)
    tensors = chances.tensors()
    assert tensors["shifts"].shape == (3, 2)
    np.testing.assert_array_equal(Chances.from_tensors(tensors).shifts, shifts)
    earlier = {name: part for name, part in tensors.items() if name != "shift_values"}
    earlier["shifts"] = shifts
    np.testing.assert_array_equal(Chances.from_tensors(earlier).shifts, shifts)


def test_many_columns_have_fewer_quantiles() -> None:
    rows = np.random.default_rng(0).normal(size=(300, 100))
    sampler = Autoencoder(2, hidden_layer_sizes=(), random_state=0).fit(rows)._state.sampler
    assert sampler is not None
    assert sampler.margins.drawn.shape == (100, 164)
