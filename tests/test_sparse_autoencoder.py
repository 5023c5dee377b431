"""Sparse autoencoders as users see them: what is found, every option, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy import sparse

from autoencode import Autoencoder, SparseAutoencoder, load
from autoencode.dictionary_metrics import agreement, detection_f1
from autoencode.errors import DataError, SpecError

Array = npt.NDArray[np.float64]

N_PARTS = 24


def planted(n_rows: int = 3000, seed: int = 0) -> tuple[Array, Array, Array]:
    """Make rows with about two parts each, the parts (none near another) and the codes."""
    parts = np.random.default_rng(7).normal(size=(N_PARTS, 12))
    for _ in range(100):
        parts /= np.linalg.norm(parts, axis=1, keepdims=True)
        parts -= 0.1 * (parts @ parts.T - np.eye(N_PARTS)) ** 3 @ parts
    parts /= np.linalg.norm(parts, axis=1, keepdims=True)
    draw = np.random.default_rng(seed)
    active = draw.random((n_rows, N_PARTS)) < 2 / N_PARTS
    codes = active * (1 + 0.25 * draw.random((n_rows, N_PARTS)))
    return codes @ parts + 5.0, parts, codes


@pytest.fixture(scope="module")
def rows() -> Array:
    """Few rows, for what does not depend on how good a fit is."""
    return planted(400)[0]


@pytest.fixture(scope="module")
def found() -> SparseAutoencoder:
    """A default fit of known parts. Tests only read it."""
    return SparseAutoencoder(N_PARTS, random_state=0, max_epochs=5).fit(planted()[0])


@pytest.fixture(scope="module")
def quick(rows: Array) -> SparseAutoencoder:
    """A fit to few rows. Tests only read it."""
    return sae().fit(rows)


def sae(n_components: Any = 10, **options: Any) -> SparseAutoencoder:
    """Make one that is fitted soon."""
    return SparseAutoencoder(n_components, **{"max_epochs": 2, "random_state": 0} | options)


def active(model: SparseAutoencoder, x: Array) -> Array:
    """Return the number of active parts of each row."""
    return np.diff(model.transform(x).indptr)


def test_planted_parts_and_their_activity_are_found(found: SparseAutoencoder) -> None:
    x, parts, codes = planted(1000, seed=1)
    z = found.transform(x)
    assert agreement(found.components_, parts) > 0.95
    assert detection_f1(z, found.components_, codes, parts) > 0.9
    assert found.n_active_ == pytest.approx(float((codes > 0).sum(1).mean()), rel=0.1)
    assert active(found, x).mean() == pytest.approx(found.n_active_, rel=0.1)
    assert np.mean(found.unit_stability_ > 0.9) > 0.9
    assert found.score(x) > 0.9


def test_the_number_of_parts_is_found_without_being_told() -> None:
    x, parts, _ = planted()
    model = sae("auto").fit(x)
    assert N_PARTS <= model.n_components_ <= 1.3 * N_PARTS
    assert agreement(model.components_, parts) > 0.9


def test_more_parts_than_there_are_do_not_lie_idle() -> None:
    model = sae(36).fit(planted()[0])
    assert model.n_components_ == 36
    assert np.mean(model.transform(planted(3000, seed=1)[0]).getnnz(0) == 0) <= 1 / 36


def test_attributes_describe_the_parts(found: SparseAutoencoder) -> None:
    x, _, _ = planted(2000, seed=1)
    z = found.transform(x)
    assert found.components_.shape == (N_PARTS, 12)
    assert found.unit_frequency_ == pytest.approx(z.getnnz(0) / 2000, abs=0.05)
    np.testing.assert_allclose(
        z @ found.components_ + found.offset_, found.reconstruct(x), rtol=0, atol=1e-10
    )
    assert found.unit_frequency_.sum() == pytest.approx(found.n_active_)


def test_codes_are_sparse_rows_that_decode(found: SparseAutoencoder) -> None:
    x, _, _ = planted(50, seed=1)
    z = found.transform(x)
    assert sparse.issparse(z)
    assert (z.format, z.dtype) == ("csr", np.float64)
    assert z.has_sorted_indices
    assert z.data.min() > 0
    assert found.transform(x.astype(np.float32)).dtype == np.float32
    expected = found.reconstruct(x)
    np.testing.assert_allclose(found.inverse_transform(z), expected, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(found.inverse_transform(z.toarray()), found.inverse_transform(z))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_rows_codes_depend_on_nothing_but_the_row(found: SparseAutoencoder, dtype: Any) -> None:
    x = planted(700, seed=1)[0].astype(dtype)
    whole = found.transform(x).toarray()
    chosen = np.random.default_rng(0).permutation(700)[:300]
    np.testing.assert_array_equal(found.transform(x[chosen]).toarray(), whole[chosen])
    np.testing.assert_array_equal(found.transform(x[:1]).toarray(), whole[:1])


def test_the_same_seed_gives_the_same_bits_and_labels_do_not_count(
    rows: Array, quick: SparseAutoencoder
) -> None:
    again = sae().fit(rows, y=np.arange(len(rows)))
    np.testing.assert_array_equal(again.components_, quick.components_)
    other = sae(random_state=1).fit(rows)
    assert not np.array_equal(other.components_, quick.components_)


CHANGES: dict[str, dict[str, Any]] = {
    "n_components": {"n_components": 14},
    "n_active": {"n_active": 3},
    "topk": {"bottleneck": "topk"},
    "jumprelu": {"bottleneck": "jumprelu", "refine": None},
    "batchtopk": {"bottleneck": "batchtopk", "refine": None},
    "relu": {"bottleneck": "relu"},
    "positive": {"positive": True},
    "refine": {"refine": None},
    "nested": {"nested": True},
    "hidden_layer_sizes": {"hidden_layer_sizes": (8,)},
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_option_changes_the_codes(rows: Array, quick: SparseAutoencoder, name: str) -> None:
    changed = sae(**{"n_components": 10} | CHANGES[name]).fit(rows)
    codes = changed.transform(rows)
    assert sparse.issparse(codes)
    assert codes.shape == (400, changed.n_components_)
    usual = quick.transform(rows)
    assert codes.shape != usual.shape or abs(codes - usual).max() > 1e-3
    assert np.isfinite(changed.score(rows))


def test_refined_codes_explain_more_than_the_encoders(rows: Array) -> None:
    refined, encoded = (sae(20, n_active=2, refine=kind).fit(rows) for kind in ("omp", None))
    assert refined.score(rows) > encoded.score(rows)


def test_the_output_can_be_an_array(rows: Array, quick: SparseAutoencoder) -> None:
    dense = sae(sparse_output=False).fit(rows).transform(rows)
    assert isinstance(dense, np.ndarray)
    np.testing.assert_array_equal(dense, quick.transform(rows).toarray())


def test_positive_parts_have_no_negative_values() -> None:
    rng = np.random.default_rng(0)
    parts = rng.exponential(size=(12, 16)) * (rng.random((12, 16)) < 0.3)
    x = ((rng.random((1500, 12)) < 0.2) * rng.uniform(1, 2, (1500, 12))) @ parts
    assert sae(12, positive=True).fit(x).components_.min() >= 0
    assert sae(12).fit(x).components_.min() < 0


def test_exactly_as_many_parts_as_asked_for(rows: Array) -> None:
    model = sae(20, n_active=3, bottleneck="topk").fit(rows)
    counts = active(model, rows)
    assert counts.max() == 3
    assert counts.mean() > 2.5


@pytest.mark.parametrize("wanted", [1.5, 4])
def test_a_mean_count_is_reached(wanted: float) -> None:
    x = planted(2000)[0]
    noisy = x + 0.2 * np.random.default_rng(0).normal(size=x.shape)
    model = sae(N_PARTS, n_active=wanted).fit(noisy)
    assert active(model, noisy).mean() == pytest.approx(wanted, rel=0.15)


def test_saved_models_code_alike(rows: Array, quick: SparseAutoencoder, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    quick.save(path)
    loaded = load(path)
    assert isinstance(loaded, SparseAutoencoder)
    assert (loaded.transform(rows) != quick.transform(rows)).nnz == 0
    np.testing.assert_array_equal(loaded.reconstruct(rows), quick.reconstruct(rows))
    np.testing.assert_array_equal(loaded.components_, quick.components_)
    np.testing.assert_array_equal(loaded.unit_stability_, quick.unit_stability_)
    assert loaded.n_active_ == quick.n_active_


def test_frames_go_in_and_out(rows: Array) -> None:
    names = [f"c{place}" for place in range(12)]
    frame = pd.DataFrame(rows[:150], columns=names)
    model = sae(6, sparse_output=False).set_output(transform="pandas")
    codes = model.fit_transform(frame)
    assert list(codes.columns) == [f"sparseautoencoder{place}" for place in range(6)]
    assert list(codes.index) == list(frame.index)
    assert list(model.feature_names_in_) == names
    assert list(model.inverse_transform(codes.to_numpy()).columns) == names


def test_rows_with_missing_values_are_coded_by_the_encoder(rows: Array) -> None:
    holed = rows.copy()
    holed[np.random.default_rng(0).random(holed.shape) < 0.05] = np.nan
    model = sae(n_active=2).fit(holed)
    assert model.unit_stability_ is None
    codes = model.transform(holed)
    assert codes.shape == (400, 10)
    assert codes.nnz
    assert np.isfinite(codes.data).all()
    assert np.isfinite(model.reconstruct(holed)).all()
    with pytest.raises(SpecError, match="refine='omp' needs complete rows"):
        sae(refine="omp").fit(holed)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"n_active": 11}, "n_active=11 .* at most n_components=10"),
    ({"n_active": 0}, "n_active=0 .* positive number"),
    ({"n_active": "few"}, "n_active='few' .* 'auto'"),
    ({"n_active": True}, "n_active=True"),
    ({"n_components": 2.5}, "n_components=2.5"),
    ({"n_components": 0}, "n_components=0"),
    ({"n_components": "many"}, "n_components='many'"),
    ({"refine": "lasso"}, "refine='lasso' should be 'auto', 'omp' or None"),
    ({"refine": "omp", "nested": True}, "refine='omp' needs"),
    ({"refine": "omp", "hidden_layer_sizes": (8,)}, "refine='omp' needs"),
    ({"refine": "omp", "n_components": 4000}, "at most 2048 components"),
    ({"positive": "yes"}, "positive='yes' should be True or False"),
    ({"sparse_output": 1.5}, "sparse_output=1.5 should be True or False"),
    ({"bottleneck": "sparsest"}, "sparsest"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_what_cannot_be_done_is_said_in_one_line(
    rows: Array, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        sae(**{"n_components": 10} | options).fit(rows)
    assert "\n" not in str(caught.value)


def test_codes_of_another_length_are_refused(quick: SparseAutoencoder) -> None:
    with pytest.raises(DataError, match="codes have 9 components, but the model has 10"):
        quick.inverse_transform(sparse.csr_matrix((2, 9)))


def interrupting(at: int) -> Callable[..., None]:
    """Return what is pressed by an impatient user, in the given epoch."""
    calls = []

    def report(phase: str, history: Any) -> None:
        calls.append(phase)
        if len(calls) == at:
            raise KeyboardInterrupt

    return report


def test_an_interrupted_fit_leaves_a_model(rows: Array) -> None:
    model = sae(max_epochs=50, verbose=interrupting(3))
    with pytest.raises(KeyboardInterrupt):
        model.fit(rows)
    assert model.stop_reason_ == "interrupted"
    assert model.transform(rows).shape == (400, 10)
    assert model.score(rows) > 0.2


def test_the_search_can_be_interrupted_too(rows: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    from autoencode import dictionary_search

    whole, calls = dictionary_search.polished, []

    def impatient(*given: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(*given, **named)

    monkeypatch.setattr(dictionary_search, "polished", impatient)
    model = sae(max_epochs=50)
    with pytest.raises(KeyboardInterrupt):
        model.fit(rows)
    assert model.stop_reason_ == "interrupted"
    assert model.transform(rows).shape == (400, 10)
    assert model.score(rows) > 0.2


@pytest.mark.parametrize(
    "options",
    [{}, *({"refine": None, "n_active": 3, "bottleneck": b} for b in ("batchtopk", "jumprelu"))],
)
def test_a_fit_goes_on_from_its_checkpoint_to_the_same_bits(
    options: dict[str, Any], rows: Array, tmp_path: Path
) -> None:
    path, epochs = tmp_path / "fit.checkpoint", []
    options = {"max_epochs": 6, **options}
    whole = sae(**options).fit(rows)
    with pytest.raises(KeyboardInterrupt):
        sae(**options, verbose=interrupting(3)).fit(rows, checkpoint=path)
    assert path.exists()
    resumed = sae(**options, verbose=lambda *_: epochs.append(1)).fit(rows, checkpoint=path)
    assert len(epochs) == 3
    assert not path.exists()
    assert (resumed.transform(rows) != whole.transform(rows)).nnz == 0
    for name, weights in whole.encoder_.state_dict().items():
        np.testing.assert_array_equal(resumed.encoder_.state_dict()[name], weights)


def test_the_time_limit_holds() -> None:
    x = np.tile(planted(3000)[0], (10, 1))
    short = SparseAutoencoder(60, max_time=2.0, random_state=0).fit(x)
    assert short.stop_reason_ == "budget"
    assert short.score(x[:1000]) > 0.5


def test_parts_that_differ_from_start_to_start_are_told_of() -> None:
    noise = np.random.default_rng(0).normal(size=(400, 12))
    assert "parts differ from start to start" in sae(30, n_active=6).fit(noise).summary()


def test_stable_parts_are_not_warned_of(found: SparseAutoencoder) -> None:
    assert "differ from start to start" not in found.summary()
    assert "active" in found.summary()


def test_no_other_kind_takes_the_options_of_sparse_ones() -> None:
    assert not {"n_active", "positive", "refine"} & set(Autoencoder().get_params())


def test_parts_without_an_order_are_neither_counted_up_nor_cut_off(rows: Array) -> None:
    model = sae().fit(rows)
    assert np.isnan(model.explained_variance_ratio_).all()
    assert model.curve_["explained_variance"][-1] > 0
    with pytest.raises(SpecError, match="have no order: fit with nested=True"):
        model.truncate(5)
    ordered = sae(nested=True, n_active=3).fit(rows)
    assert np.isfinite(ordered.explained_variance_ratio_).all()
    assert ordered.truncate(5).transform(rows).shape == (400, 5)


def test_the_number_of_active_parts_may_be_any_kind_of_number(rows: Array) -> None:
    one, same = (sae(n_active=n, refine=None).fit(rows) for n in (3, np.int64(3)))
    assert (one.transform(rows) != same.transform(rows)).nnz == 0
