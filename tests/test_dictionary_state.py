"""Dictionaries of other projects as estimators, and estimators as such dictionaries."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoencode import Autoencoder, SparseAutoencoder, load
from autoencode.dictionary import KINDS, Dictionary
from autoencode.dictionary_files import read_dictionary, write_saelens
from autoencode.dictionary_state import dictionary_of
from autoencode.errors import DataError, ModelFileError
from autoencode.export import export_saelens

V, C, K = 5, 12, 3
ROWS = np.random.default_rng(9).normal(size=(60, V))
SHORT: dict[str, Any] = {"n_active": 2, "refine": None, "max_epochs": 2, "random_state": 0}


def draw(*shape: int, seed: int) -> Any:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def dictionary(kind: str, at: float = 1.0) -> Dictionary:
    thresholds = {"jumprelu": np.abs(draw(C, seed=6)), "batchtopk": np.full(C, 0.3, np.float32)}
    return Dictionary(
        kind,
        draw(C, V, seed=1),
        draw(C, seed=2),
        draw(C, V, seed=3) * np.linspace(0.2, 5, C, dtype=np.float32)[:, None],
        draw(V, seed=4),
        np.float32(at) * draw(V, seed=5),
        n_active={"topk": K, "batchtopk": 2.5}.get(kind),
        threshold=thresholds.get(kind),
    )


def both(found: Dictionary, rows: Any) -> tuple[Any, Any]:
    """Return codes and reconstructions after the formula in the docstring of `Dictionary`."""
    pre = np.maximum((rows - found.centre) @ found.encoder_weight.T + found.encoder_bias, 0)
    if found.kind == "topk":
        code = np.where(pre >= np.sort(pre, axis=1)[:, [-int(found.n_active or 0)]], pre, 0)
    else:
        code = np.where(pre > (0 if found.threshold is None else found.threshold), pre, 0)
    return code, code @ found.parts + found.bias


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [0.0, 1.0, 1000.0])
def test_an_estimator_does_what_the_formula_says(kind: str, at: float) -> None:
    given = dictionary(kind, at)
    model = SparseAutoencoder.from_dictionary(given)
    rows = ROWS + given.centre
    code, expected = both(given, rows)
    assert 0 < (code > 0).mean() < 0.7
    np.testing.assert_allclose(model.transform(rows).toarray(), code, rtol=0, atol=1e-5)
    # The bias is kept as what it adds to the centre, in float32.
    rounding = 1e-5 + 1e-7 * float(np.abs(given.centre).max())
    for found in (
        model.reconstruct(rows),
        model.inverse_transform(code),
        code @ model.components_ + model.offset_,
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=rounding)
    np.testing.assert_allclose(model.components_, given.parts, rtol=1e-6)
    assert model.n_active_ == given.n_active
    assert model.unit_frequency_ is None
    assert model.bottleneck == kind


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_kept_in_files_of_both_forms(kind: str, tmp_path: Path) -> None:
    model = SparseAutoencoder.from_dictionary(dictionary(kind))
    code, rows = model.transform(ROWS), model.reconstruct(ROWS)
    model.save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert again.get_params() == model.get_params()
    assert (again.transform(ROWS) != code).nnz == 0
    np.testing.assert_array_equal(again.reconstruct(ROWS), rows)
    export_saelens(again, tmp_path / "folder", metadata={"model_name": "none"})
    other = load(tmp_path / "folder")
    np.testing.assert_allclose(other.transform(ROWS).toarray(), code.toarray(), atol=1e-5)
    np.testing.assert_allclose(other.reconstruct(ROWS), rows, atol=1e-5)


def test_several_thresholds_of_batchtopk_stay_several() -> None:
    threshold = np.linspace(0, 1, C, dtype=np.float32)
    given = dataclasses.replace(dictionary("batchtopk"), threshold=threshold)
    model = SparseAutoencoder.from_dictionary(given)
    assert model.bottleneck == "jumprelu"
    np.testing.assert_allclose(model.transform(ROWS).toarray(), both(given, ROWS)[0], atol=1e-5)
    np.testing.assert_allclose(dictionary_of(model._state).threshold, threshold, rtol=1e-6)


def test_what_is_not_known_is_said() -> None:
    model = SparseAutoencoder.from_dictionary(dictionary("relu"))
    assert model.n_active_ is None
    assert np.isnan(model.explained_variance_ratio_).all()
    assert "not fitted here" in model.summary()
    for method in (model.score_samples, model.explain):
        with pytest.raises(DataError, match="how large errors are is not known"):
            method(ROWS)
    explained = (
        1 - np.square(ROWS - model.reconstruct(ROWS)).sum() / np.square(ROWS - ROWS.mean(0)).sum()
    )
    assert model.score(ROWS) == pytest.approx(explained)


def planted() -> Any:
    rng = np.random.default_rng(0)
    parts = rng.normal(size=(8, 6))
    return np.abs(rng.normal(size=(400, 8))) * (rng.random((400, 8)) < 0.2) @ parts


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scaling", ["common", "standard"])
def test_a_fitted_model_goes_out_and_comes_back(kind: str, scaling: str, tmp_path: Path) -> None:
    rows = planted() * np.array([1, 2, 5, 1, 30, 1]) + 40
    model = SparseAutoencoder(8, bottleneck=kind, scaling=scaling, **SHORT).fit(rows)
    export_saelens(model, tmp_path / "folder")
    back = SparseAutoencoder.from_dictionary(tmp_path / "folder")
    code, expected = model.transform(rows).toarray(), model.reconstruct(rows)
    scale = np.abs(expected).max()
    assert (code > 0).any(axis=0).sum() > 4
    np.testing.assert_allclose(back.transform(rows).toarray(), code, atol=1e-5 * code.max())
    np.testing.assert_allclose(back.reconstruct(rows), expected, atol=1e-5 * scale)
    np.testing.assert_allclose(
        both(read_dictionary(tmp_path / "folder"), rows)[1], expected, atol=1e-5 * scale
    )


def test_a_refined_model_goes_out_as_its_encoder(tmp_path: Path) -> None:
    rows = planted()
    model = SparseAutoencoder(8, max_epochs=2, random_state=0).fit(rows)
    assert "pursuit" in model._state.facts
    export_saelens(model, tmp_path / "folder")
    with torch.no_grad():
        fitted = model._state.fitted(torch.float64)
        expected = fitted.encoder(torch.from_numpy(rows)).numpy()
    found = load(tmp_path / "folder").transform(rows).toarray()
    np.testing.assert_allclose(found, expected, atol=1e-5 * expected.max())
    assert np.abs(found - model.transform(rows).toarray()).max() > 1e-3


def test_a_shorter_model_goes_out(tmp_path: Path) -> None:
    rows = planted()
    model = SparseAutoencoder(8, nested=True, **SHORT).fit(rows).truncate(4)
    export_saelens(model, tmp_path / "folder")
    np.testing.assert_allclose(
        load(tmp_path / "folder").reconstruct(rows), model.reconstruct(rows), atol=1e-5
    )


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Autoencoder(2, max_epochs=1, random_state=0), "its codes are not sparse"),
        (lambda: SparseAutoencoder(8, hidden_layer_sizes=(4,), **SHORT), "it has hidden layers"),
    ],
)
def test_other_models_do_not_go_out(make: Any, reason: str, tmp_path: Path) -> None:
    model = make().fit(planted())
    with pytest.raises(DataError, match=f"^the model is no plain dictionary: {reason}$"):
        export_saelens(model, tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []


def test_tables_go_out_if_their_columns_are_plain_numbers(tmp_path: Path) -> None:
    import pyarrow as pa

    values = planted()
    numbers = {f"x{place}": column for place, column in enumerate(values.T)}
    plain = dict.fromkeys(numbers, "numeric:transform=none")
    model = SparseAutoencoder(8, columns=plain, **SHORT).fit(pa.table(numbers))
    export_saelens(model, tmp_path / "folder")
    expected = np.column_stack(model.reconstruct(pa.table(numbers), clip=False).columns)
    found = load(tmp_path / "folder").reconstruct(values)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    mixed = pa.table({**numbers, "colour": np.where(values[:, 0] > 0.5, "red", "blue")})
    model = SparseAutoencoder(8, columns=plain, **SHORT).fit(mixed)
    with pytest.raises(DataError, match=r"some of its columns are not plain numbers$"):
        export_saelens(model, tmp_path / "other")
    holes = np.where(np.random.default_rng(0).random(values.shape) < 0.05, np.nan, values)
    model = SparseAutoencoder(8, **SHORT).fit(holes)
    with pytest.raises(DataError, match=r"it takes rows with missing or noisy values$"):
        export_saelens(model, tmp_path / "other")


@pytest.mark.parametrize("refine", ["omp", None])
def test_an_encoder_alone_encodes_and_does_not_go_out(refine: str | None, tmp_path: Path) -> None:
    rows = planted()
    model = SparseAutoencoder(8, **{**SHORT, "refine": refine}).fit(rows)
    model.save(tmp_path / "m", encoder_only=True)
    alone = load(tmp_path / "m")
    assert (alone.transform(rows) != model.transform(rows)).nnz == 0
    with pytest.raises(DataError, match="encoder_only=True"):
        export_saelens(alone, tmp_path / "folder")


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="holds none of"):
        load(tmp_path)
    write_saelens(tmp_path / "a", dictionary("topk"))
    (tmp_path / "a" / "sae_weights.safetensors").write_bytes(b"")
    with pytest.raises(ModelFileError, match=r"sae_weights\.safetensors"):
        SparseAutoencoder.from_dictionary(tmp_path / "a")
