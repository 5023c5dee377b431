"""Models as ONNX: what onnxruntime computes from raw rows is what ``transform`` does."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

import autoencode
from autoencode import Autoencoder
from autoencode.errors import AutoencodeError, DataError, SpecError
from autoencode.export import PARTS, MissingExtraError, export_onnx

TOLERANCE = 1e-5


def run(path: Path, values: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    (result,) = session.run(None, {given.name: values.astype(np.float32)})
    assert result.dtype == np.float32
    return result


def difference(mine: np.ndarray, reference: np.ndarray) -> float:
    """Give the largest difference, as a share of the largest value."""
    return float(np.abs(mine - reference).max() / np.abs(reference).max())


def exported(model: Autoencoder, folder: Path, part: str = "encoder") -> Path:
    path = folder / f"{part}.onnx"
    export_onnx(model, path, part=part)
    return path


@pytest.fixture(scope="module", params=["network_model", "pca_model"])
def written(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Autoencoder, dict[str, Path]]:
    """Export every part of a model, once."""
    model = request.getfixturevalue(request.param)
    assert model.gate_ == (request.param == "network_model")
    folder = tmp_path_factory.mktemp("onnx")
    return model, {part: exported(model, folder, part) for part in PARTS}


def test_every_part_agrees_with_the_model(written: Any, bent: np.ndarray) -> None:
    model, paths = written
    rows = bent.astype(np.float32)
    codes = model.transform(rows)
    expected = {
        "encoder": (rows, codes),
        "decoder": (codes, model.inverse_transform(codes)),
        "autoencoder": (rows, model.reconstruct(rows)),
    }
    assert expected.keys() == PARTS.keys()
    for part, (given, wanted) in expected.items():
        assert difference(run(paths[part], given), wanted) <= TOLERANCE
        # Any number of rows, one by one the same.
        alone = np.concatenate([run(paths[part], given[place : place + 1]) for place in range(3)])
        assert difference(alone, wanted[:3]) <= TOLERANCE


def test_names_types_and_shapes_of_the_graph(written: Any) -> None:
    shapes = {"encoder": (9, 3), "decoder": (3, 9), "autoencoder": (9, 9)}
    for part, path in written[1].items():
        onnx.checker.check_model(path, full_check=True)
        session = onnxruntime.InferenceSession(path)
        ends = (*session.get_inputs(), *session.get_outputs())
        assert tuple(end.name for end in ends) == PARTS[part]
        assert tuple(end.shape[1] for end in ends) == shapes[part]
        assert {end.type for end in ends} == {"tensor(float)"}
        assert all(isinstance(end.shape[0], str) for end in ends)


@pytest.mark.parametrize("hidden", [(), (16,)])
def test_a_mean_far_above_the_deviation_costs_nothing(
    hidden: tuple[int, ...], bent: np.ndarray, tmp_path: Path
) -> None:
    # Numbers that float32 holds exactly, with centres that it does not.
    rows = (np.round(bent * 64) / 64 + 100_000).astype(np.float32)
    model = Autoencoder(3, hidden_layer_sizes=hidden, max_epochs=30, random_state=0)
    model.fit(rows.astype(np.float64))
    assert model.gate_ == bool(hidden)
    codes = run(exported(model, tmp_path), rows)
    assert difference(codes, model.transform(rows.astype(np.float64))) <= TOLERANCE
    assert difference(codes, model.transform(rows)) <= TOLERANCE


@pytest.mark.parametrize("hidden", [(), (32,)])
def test_what_is_missing_in_an_array_is_filled_in(
    hidden: tuple[int, ...], bent: np.ndarray, tmp_path: Path
) -> None:
    holes = np.where(np.random.default_rng(0).random(bent.shape) < 0.1, np.nan, bent)
    model = Autoencoder(3, hidden_layer_sizes=hidden, max_epochs=30, random_state=0).fit(holes)
    assert model.gate_ == bool(hidden)
    path = exported(model, tmp_path)
    # Some rows miss nothing, some much; the last one everything.
    rows = np.concatenate([holes, np.full((1, 9), np.nan)]).astype(np.float32)
    assert set(np.isnan(rows).sum(1)) >= {0, 1, 2, 3, 9}
    assert difference(run(path, rows), model.transform(rows)) <= TOLERANCE
    assert difference(run(path, bent), model.transform(bent)) <= TOLERANCE


def test_a_model_that_is_told_of_noise_takes_rows_without(bent: np.ndarray, tmp_path: Path) -> None:
    options = {"corruption": "gaussian:level=(0.05,0.3)", "learning_rate": 0.01}
    model = Autoencoder(3, hidden_layer_sizes=(32,), max_epochs=30, random_state=0, **options)
    model.fit(bent)
    assert model.gate_ == 1
    assert model._state.composition.noisy
    assert difference(run(exported(model, tmp_path), bent), model.transform(bent)) <= TOLERANCE


def test_the_file_says_who_wrote_it_and_what_the_columns_are(
    bent: np.ndarray, tmp_path: Path
) -> None:
    frame = pd.DataFrame(bent, columns=[f"größe {place}" for place in range(9)])
    model = Autoencoder(2, hidden_layer_sizes=()).fit(frame)
    proto = onnx.load(exported(model, tmp_path))
    assert (proto.producer_name, proto.producer_version) == ("autoencode", autoencode.__version__)
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    assert json.loads(metadata["feature_names"]) == list(frame.columns)
    # Standardised by column, which the graph does too.
    session = onnxruntime.InferenceSession(tmp_path / "encoder.onnx")
    (codes,) = session.run(None, {name: bent[:, i] for i, name in enumerate(frame.columns)})
    assert difference(codes, model.transform(frame)) <= TOLERANCE


def test_a_loaded_encoder_exports_the_same(written: Any, bent: np.ndarray, tmp_path: Path) -> None:
    model, paths = written
    model.save(tmp_path / "half.safetensors", encoder_only=True)
    loaded = autoencode.load(tmp_path / "half.safetensors")
    export_onnx(loaded, tmp_path / "half.onnx")
    assert np.array_equal(run(tmp_path / "half.onnx", bent), run(paths["encoder"], bent))
    for part in ("decoder", "autoencoder"):
        with pytest.raises(DataError, match="encoder_only"):
            export_onnx(loaded, tmp_path / "refused.onnx", part=part)
    assert not (tmp_path / "refused.onnx").exists()


def test_parts_from_outside_are_exported_too(
    outside: str, bent: np.ndarray, tmp_path: Path
) -> None:
    options = {"hidden_layer_sizes": (32, 16), "max_epochs": 30, "random_state": 0}
    model = Autoencoder(3, bottleneck=f"{outside}:Doubled", **options).fit(bent)
    assert model.gate_ == 1
    rows = bent.astype(np.float32)
    assert difference(run(exported(model, tmp_path), rows), model.transform(rows)) <= TOLERANCE


@pytest.mark.parametrize("kind", ["network_model", "pca_model"])
def test_the_model_is_left_as_it_was_and_nothing_is_said(
    kind: str,
    bent: np.ndarray,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    capfd: pytest.CaptureFixture[str],
) -> None:
    model = request.getfixturevalue(kind)
    names = ["torch.onnx", "torch.onnx._internal.exporter._registration"]

    def insides() -> list[Any]:
        parts = (model.encoder_, model.decoder_)
        values = [(n, t.dtype, t.tolist()) for part in parts for n, t in part.state_dict().items()]
        return [*values, model.transform(bent).tolist()]

    before = insides()
    levels = [logging.getLogger(name).level for name in names]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        exported(model, tmp_path, "autoencoder")
    assert [str(warning.message) for warning in caught] == []
    assert capfd.readouterr() == ("", "")
    assert [logging.getLogger(name).level for name in names] == levels
    assert insides() == before


# What is refused.


def test_an_existing_file_stays_without_force(pca_model: Autoencoder, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"precious")
    with pytest.raises(DataError, match=r"model\.onnx exists"):
        export_onnx(pca_model, path)
    assert path.read_bytes() == b"precious"
    export_onnx(pca_model, path, force=True)
    onnx.checker.check_model(path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]


def test_an_unwritable_place_is_one_line(pca_model: Autoencoder, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot write .*missing"):
        export_onnx(pca_model, tmp_path / "missing" / "model.onnx")


def test_an_unknown_part_is_refused(pca_model: Autoencoder, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="part='both' is not known; choose from encoder, decoder"):
        export_onnx(pca_model, tmp_path / "model.onnx", part="both")


def test_a_model_must_be_fitted(tmp_path: Path) -> None:
    with pytest.raises(NotFittedError):
        export_onnx(Autoencoder(), tmp_path / "model.onnx")


@pytest.mark.parametrize("missing", ["onnx", "onnxscript"])
def test_a_missing_extra_says_what_to_install(
    missing: str, pca_model: Autoencoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=r"; pip install 'autoencode\[onnx\]'$") as caught:
        export_onnx(pca_model, tmp_path / "model.onnx")
    assert isinstance(caught.value, AutoencodeError)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
