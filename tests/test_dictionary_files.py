"""Other projects' folders: the formulas of each project give the same codes and rows."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from autoencode.dictionary import KINDS, Dictionary, fold_scaler
from autoencode.dictionary_files import read_dictionary, write_saelens
from autoencode.errors import ModelFileError

V, C, K = 5, 12, 3
ROWS = np.random.default_rng(9).normal(size=(40, V))
Arrays = dict[str, Any]


def draw(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def dictionary(kind: str, *, centred: bool = False) -> Dictionary:
    thresholds = {"jumprelu": np.abs(draw(C, seed=6)), "batchtopk": np.full(C, 0.3, np.float32)}
    return Dictionary(
        kind,
        draw(C, V, seed=1),
        draw(C, seed=2),
        draw(C, V, seed=3),
        draw(V, seed=4),
        draw(V, seed=5) if centred else np.zeros(V, np.float32),
        n_active={"topk": K, "batchtopk": 2.5}.get(kind),
        threshold=thresholds.get(kind),
    )


def top(pre: Any, n_active: int) -> Any:
    """Keep the largest of each row that are positive."""
    last = np.sort(pre, axis=1)[:, [-n_active]]
    return np.where(pre >= last, np.maximum(pre, 0), 0)


def above(threshold: Any) -> Callable[[Any], Any]:
    return lambda pre: np.maximum(pre, 0) * (pre > threshold)


def both(found: Dictionary, rows: Any = ROWS) -> tuple[Any, Any]:
    """Return codes and reconstructions after the formula in the docstring of `Dictionary`."""
    pre = (rows - found.centre) @ found.encoder_weight.T + found.encoder_bias
    if found.kind == "topk":
        code = top(pre, int(found.n_active or 0))
    else:
        code = above(0 if found.threshold is None else found.threshold)(pre)
    return code, code @ found.parts + found.bias


def assert_same(found: Dictionary, code: Any, rows: Any) -> None:
    found_code, found_rows = both(found)
    assert (code > 0).sum() > 0
    np.testing.assert_allclose(found_code, code, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found_rows, rows, rtol=0, atol=1e-5)


def put(folder: Path, config: Any, tensors: Arrays, names: tuple[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / names[0]).write_text(json.dumps(config), "utf-8")
    safetensors.numpy.save_file(tensors, folder / names[1])
    return folder


SAELENS = ("cfg.json", "sae_weights.safetensors")
SPARSIFY = ("cfg.json", "sae.safetensors")
LEARNING = ("config.json", "ae.safetensors")


def saelens(architecture: str, **more: Any) -> tuple[Arrays, Arrays]:
    """Return a configuration and tensors as SAELens 6 keeps them."""
    config = {
        "architecture": architecture,
        "d_in": V,
        "d_sae": C,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": "6.54.12"},
        **more,
    }
    tensors = {
        "W_enc": draw(V, C),
        "b_enc": draw(C),
        "W_dec": draw(C, V),
        "b_dec": draw(V),
    }
    return config, tensors


# Written by us.


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_written_comes_back_to_the_bit(kind: str, tmp_path: Path) -> None:
    before = dictionary(kind)
    write_saelens(tmp_path / "sae", before)
    after = read_dictionary(tmp_path / "sae")
    assert (after.kind, after.n_active) == (kind, before.n_active)
    for name in ("encoder_weight", "encoder_bias", "parts", "bias", "centre", "threshold"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name), strict=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_centre_becomes_the_bias_that_saelens_subtracts(kind: str, tmp_path: Path) -> None:
    before = dictionary(kind, centred=True)
    write_saelens(tmp_path / "sae", before)
    after = read_dictionary(tmp_path / "sae")
    np.testing.assert_array_equal(after.centre, before.bias)
    assert_same(after, *both(before))


@pytest.mark.parametrize("kind", KINDS)
def test_the_written_folder_after_saelens_formula(kind: str, tmp_path: Path) -> None:
    before = dictionary(kind, centred=True)
    write_saelens(tmp_path / "sae", before, {"hook_name": "blocks.3"})
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == sorted(SAELENS)
    config = json.loads((tmp_path / "sae" / "cfg.json").read_text("utf-8"))
    tensors = safetensors.numpy.load_file(tmp_path / "sae" / SAELENS[1])
    assert config["architecture"] == {"relu": "standard", "batchtopk": "jumprelu"}.get(kind, kind)
    assert (config["d_in"], config["d_sae"], config["dtype"]) == (V, C, "float32")
    assert config["apply_b_dec_to_input"] is True
    assert config["normalize_activations"] == config["reshape_activations"] == "none"
    assert config["metadata"]["hook_name"] == "blocks.3"
    pre = (ROWS - tensors["b_dec"]) @ tensors["W_enc"] + tensors["b_enc"]
    if kind == "topk":
        assert (config["k"], config["rescale_acts_by_decoder_norm"]) == (K, False)
        code = top(pre, K)
    else:
        code = above(tensors.get("threshold", 0))(pre)
    assert ("threshold" in tensors) == (kind in ("jumprelu", "batchtopk"))
    assert_same(before, code, code @ tensors["W_dec"] + tensors["b_dec"])


# Rows before preprocessing.


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [0.25, np.linspace(0.5, 2, V)], ids=["one", "each"])
def test_a_scaler_is_folded_in(kind: str, scale: Any) -> None:
    before = dictionary(kind, centred=True)
    centre = draw(V, seed=8)
    code, rows = both(before)
    folded_code, folded_rows = both(fold_scaler(before, centre, scale), ROWS * scale + centre)
    np.testing.assert_allclose(folded_code, code, rtol=0, atol=1e-5)
    np.testing.assert_allclose(folded_rows, rows * scale + centre, rtol=0, atol=1e-5)


def test_rows_far_from_zero_keep_their_digits_in_float32(tmp_path: Path) -> None:
    centre = 100_000 + draw(V, seed=8)
    write_saelens(tmp_path / "sae", fold_scaler(dictionary("relu"), centre, 1.0))
    narrow = safetensors.numpy.load_file(tmp_path / "sae" / SAELENS[1])
    wide = {name: array.astype(np.float64) for name, array in narrow.items()}
    rows = (ROWS + centre).astype(np.float32)
    pre, expected = (
        (rows - tensors["b_dec"]) @ tensors["W_enc"] + tensors["b_enc"]
        for tensors in (narrow, wide)
    )
    assert pre.dtype == np.float32
    np.testing.assert_allclose(pre, expected, rtol=0, atol=1e-5)


# Written by SAELens.


@pytest.mark.parametrize("subtracts", [True, False])
@pytest.mark.parametrize("architecture", ["standard", "jumprelu", "topk", "rescaled"])
def test_saelens(architecture: str, subtracts: bool, tmp_path: Path) -> None:
    rescales = architecture == "rescaled"
    name = "topk" if rescales else architecture
    config, tensors = saelens(name, apply_b_dec_to_input=subtracts)
    if name == "topk":
        config |= {"k": K, "rescale_acts_by_decoder_norm": rescales}
    choose = {"standard": above(0), "jumprelu": above(draw(C, seed=7))}.get(architecture)
    if architecture == "jumprelu":  # some below zero
        tensors["threshold"] = draw(C, seed=7)
    norm = np.linalg.norm(tensors["W_dec"], axis=1) if rescales else 1
    start = ROWS - tensors["b_dec"] * subtracts
    pre = (start @ tensors["W_enc"] + tensors["b_enc"]) * norm
    code = choose(pre) if choose else top(pre, K)
    found = read_dictionary(put(tmp_path / "sae", config, tensors, SAELENS))
    assert found.kind == {"standard": "relu", "rescaled": "topk"}.get(architecture, architecture)
    assert_same(found, code, (code / norm) @ tensors["W_dec"] + tensors["b_dec"])


@pytest.mark.parametrize("rescales", [True, False])
@pytest.mark.parametrize("architecture", ["batchtopk", "matryoshka_batchtopk"])
def test_a_checkpoint_of_saelens(architecture: str, rescales: bool, tmp_path: Path) -> None:
    config, tensors = saelens(architecture, k=2.5, rescale_acts_by_decoder_norm=rescales)
    tensors["topk_threshold"] = np.array(0.7)
    norm = np.linalg.norm(tensors["W_dec"], axis=1) if rescales else 1
    code = above(0.7)(((ROWS - tensors["b_dec"]) @ tensors["W_enc"] + tensors["b_enc"]) * norm)
    found = read_dictionary(put(tmp_path / "sae", config, tensors, SAELENS))
    assert (found.kind, found.n_active) == ("batchtopk", 2.5)
    assert_same(found, code, (code / norm) @ tensors["W_dec"] + tensors["b_dec"])


@pytest.mark.parametrize("how", ["relu", "topk"])
@pytest.mark.parametrize("key", ["activation_fn", "activation_fn_str"])
def test_saelens_before_version_6(how: str, key: str, tmp_path: Path) -> None:
    _, tensors = saelens("standard")
    config = {"d_in": V, "d_sae": C, "normalize_activations": False, "sae_lens_version": "5.9.1"}
    config |= {key: how, "activation_fn_kwargs": {"k": K}}
    tensors["scaling_factor"] = np.ones(C, np.float32)
    pre = (ROWS - tensors["b_dec"]) @ tensors["W_enc"] + tensors["b_enc"]
    code = top(pre, K) if how == "topk" else np.maximum(pre, 0)
    found = read_dictionary(put(tmp_path / "sae", config, tensors, SAELENS))
    assert found.kind == how
    assert_same(found, code, code @ tensors["W_dec"] + tensors["b_dec"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_every_float_is_read(dtype: torch.dtype, tmp_path: Path) -> None:
    config, tensors = saelens("standard")
    narrow = {name: torch.from_numpy(array).to(dtype) for name, array in tensors.items()}
    folder = put(tmp_path / "sae", config, tensors, SAELENS)
    safetensors.torch.save_file(narrow, folder / SAELENS[1])
    found = read_dictionary(folder)
    np.testing.assert_array_equal(found.parts, narrow["W_dec"].float().numpy(), strict=True)
    np.testing.assert_array_equal(
        found.encoder_weight, narrow["W_enc"].float().numpy().T, strict=True
    )


# Written by sparsify and dictionary_learning.


@pytest.mark.parametrize("size", [{"num_latents": C}, {"expansion_factor": 2, "num_latents": 0}])
def test_sparsify(size: Arrays, tmp_path: Path) -> None:
    n = C if "expansion_factor" not in size else 2 * V
    config = {"activation": "topk", "k": K, "d_in": V, "transcode": False, **size}
    tensors = {
        "encoder.weight": draw(n, V),
        "encoder.bias": draw(n),
        "W_dec": draw(n, V, seed=1),
        "b_dec": draw(V),
    }
    pre = (ROWS - tensors["b_dec"]) @ tensors["encoder.weight"].T + tensors["encoder.bias"]
    found = read_dictionary(put(tmp_path / "sae", config, tensors, SPARSIFY))
    assert (found.kind, found.n_active) == ("topk", K)
    code = top(pre, K)
    assert_same(found, code, code @ tensors["W_dec"] + tensors["b_dec"])


LINEAR = {"encoder.weight": (C, V), "encoder.bias": (C,), "decoder.weight": (V, C)}
NAMED = {"W_enc": (V, C), "b_enc": (C,), "W_dec": (C, V), "b_dec": (V,)}
CLASSES = {
    "AutoEncoder": {**LINEAR, "bias": (V,)},
    "AutoEncoderNew": {**LINEAR, "decoder.bias": (V,)},
    "AutoEncoderTopK": {**LINEAR, "b_dec": (V,)},
    "BatchTopKSAE": {**LINEAR, "b_dec": (V,)},
    "MatryoshkaBatchTopKSAE": NAMED,
    "JumpReluAutoEncoder": {**NAMED, "threshold": (C,)},
}


def learning(name: str, threshold: float = 0.4) -> tuple[Arrays, Arrays]:
    """Return a configuration and tensors as dictionary_learning keeps them."""
    trainer = {"dict_class": name, "activation_dim": V, "dict_size": C, "k": K}
    tensors = {key: draw(*shape, seed=2) for key, shape in CLASSES[name].items()}
    if "TopK" in name:
        tensors |= {"k": np.array(K, np.int32), "threshold": np.array(threshold, np.float32)}
    if "Matryoshka" in name:
        tensors["group_sizes"] = np.array([4, C - 4])
    return {"trainer": trainer, "buffer": {}}, tensors


@pytest.mark.parametrize("threshold", [0.4, -1.0])
@pytest.mark.parametrize("name", CLASSES)
def test_dictionary_learning(name: str, threshold: float, tmp_path: Path) -> None:
    config, tensors = learning(name, threshold)
    encoder = tensors["W_enc"] if "W_enc" in tensors else tensors["encoder.weight"].T
    parts = tensors["W_dec"] if "W_dec" in tensors else tensors["decoder.weight"].T
    encoder_bias = tensors["b_enc"] if "b_enc" in tensors else tensors["encoder.bias"]
    (bias,) = (tensors[key] for key in ("bias", "b_dec", "decoder.bias") if key in tensors)
    subtracts = name not in ("AutoEncoderNew", "JumpReluAutoEncoder")
    norm = np.linalg.norm(parts, axis=1) if name == "AutoEncoder" else 1
    pre = ((ROWS - bias * subtracts) @ encoder + encoder_bias) * norm
    kind = {"AutoEncoderTopK": "topk", "JumpReluAutoEncoder": "jumprelu"}.get(
        name, "batchtopk" if "TopK" in name else "relu"
    )
    code = top(pre, K) if kind == "topk" else above(tensors.get("threshold", 0))(pre)
    found = read_dictionary(put(tmp_path / "sae", config, tensors, LEARNING))
    assert found.kind == kind
    assert found.n_active == (K if "TopK" in name else None)
    assert_same(found, code, (code / norm) @ parts + bias)


def test_a_pickle_is_refused_with_a_command_that_converts_it(tmp_path: Path) -> None:
    config, tensors = learning("BatchTopKSAE")
    folder = put(tmp_path / "sae", config, tensors, LEARNING)
    expected = both(read_dictionary(folder))
    (folder / LEARNING[1]).unlink()
    torch.save({key: torch.from_numpy(array) for key, array in tensors.items()}, folder / "ae.pt")
    with pytest.raises(ModelFileError, match=r"ae\.pt is a pickle, which could run any") as caught:
        read_dictionary(folder)
    assert "\n" not in str(caught.value)
    code = str(caught.value).partition('python -c "')[2].removesuffix('"')
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
    assert_same(read_dictionary(folder), *expected)
