"""Folders that cannot be read or written: one clear line each, and nothing left behind."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from autoencode import dictionary_files, tensor_file
from autoencode.dictionary import Dictionary, fold_scaler
from autoencode.dictionary_files import read_dictionary, write_saelens
from autoencode.errors import DataError, ModelFileError, SpecError

V, C = 4, 6
NAMES = {
    "saelens": ("cfg.json", "sae_weights.safetensors"),
    "sparsify": ("cfg.json", "sae.safetensors"),
    "learning": ("config.json", "ae.safetensors"),
}


def ones(*shape: int) -> Any:
    return np.ones(shape, np.float32)


def topk(**changes: Any) -> Dictionary:
    arrays = {
        "encoder_weight": ones(C, V),
        "encoder_bias": ones(C),
        "parts": ones(C, V),
        "bias": ones(V),
        "centre": ones(V),
    }
    return Dictionary(**{"kind": "topk", "n_active": 2, **arrays, **changes})


def content(form: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a configuration and tensors that can be read."""
    if form == "saelens":
        config = {"architecture": "topk", "d_in": V, "d_sae": C, "k": 2}
        config["metadata"] = {"sae_lens_version": "6.0.0"}
        tensors = {"W_enc": ones(V, C), "b_enc": ones(C), "W_dec": ones(C, V), "b_dec": ones(V)}
        return config, tensors
    tensors = {"encoder.weight": ones(C, V), "encoder.bias": ones(C), "b_dec": ones(V)}
    if form == "sparsify":
        return {"d_in": V, "num_latents": C, "k": 2}, {**tensors, "W_dec": ones(C, V)}
    trainer = {"dict_class": "AutoEncoderTopK", "activation_dim": V, "dict_size": C, "k": 2}
    tensors |= {"decoder.weight": ones(V, C), "k": np.array(2, np.int32)}
    return {"trainer": trainer}, tensors


def put(folder: Path, form: str, config: Any, tensors: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / NAMES[form][0]).write_text(json.dumps(config), "utf-8")
    safetensors.numpy.save_file(tensors, folder / NAMES[form][1])
    return folder


def refused(folder: Path, message: str) -> None:
    with pytest.raises(ModelFileError, match=message) as caught:
        read_dictionary(folder)
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a folder of SAELens."""
    return put(tmp_path / "sae", "saelens", *content("saelens"))


@pytest.mark.parametrize("form", NAMES)
def test_what_the_refusals_start_from_is_read(form: str, tmp_path: Path) -> None:
    found = read_dictionary(put(tmp_path / "sae", form, *content(form)))
    assert (found.kind, found.n_active, found.parts.shape) == ("topk", 2, (C, V))


# Damage.


@pytest.mark.parametrize("form", NAMES)
def test_every_truncation_is_noticed(form: str, tmp_path: Path) -> None:
    place = put(tmp_path / "sae", form, *content(form))
    for name in NAMES[form]:
        whole = (place / name).read_bytes()
        for size in range(len(whole)):
            (place / name).write_bytes(whole[:size])
            with pytest.raises(ModelFileError) as caught:
                read_dictionary(place)
            assert str(caught.value).startswith(str(place / name))
            assert "\n" not in str(caught.value)
        (place / name).write_bytes(whole)


@pytest.mark.parametrize("form", NAMES)
def test_a_flipped_bit_gives_a_sound_dictionary_or_one_line(form: str, tmp_path: Path) -> None:
    """There is no checksum: a changed number is still a number."""
    place = put(tmp_path / "sae", form, *content(form))
    outcomes, messages = [], []
    for name in NAMES[form]:
        whole = (place / name).read_bytes()
        for bit in np.random.default_rng(0).integers(0, 8 * len(whole), 500):
            flipped = bytearray(whole)
            flipped[bit // 8] ^= 1 << (bit % 8)
            (place / name).write_bytes(flipped)
            try:
                outcomes.append(np.isfinite(read_dictionary(place).parts).all())
            except ModelFileError as error:
                messages.append(str(error))
        (place / name).write_bytes(whole)
    assert messages
    assert all(text.startswith(str(place)) and text.isprintable() for text in messages)
    assert outcomes
    assert all(outcomes)


def test_bytes_after_the_end(folder: Path) -> None:
    with open(folder / NAMES["saelens"][1], "ab") as file:
        file.write(b"x")
    refused(folder, r"is damaged \(1 bytes follow its end\)$")


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b"\xff" * 7 + b"\0{", r"is damaged \(it declares a header of"),
        ((2).to_bytes(8, "little") + b"{]", "its header is not valid JSON"),
        ((2).to_bytes(8, "little") + b"[]", "is not a safetensors file$"),
        (b"version https://git-lfs.github.com/spec/v1", "is not a safetensors file$"),
        (b"PK\3\4" + bytes(60), "is not a safetensors file$"),
    ],
)
def test_hostile_containers(head: bytes, message: str, folder: Path) -> None:
    (folder / NAMES["saelens"][1]).write_bytes(head)
    refused(folder, message)


def test_declared_sizes_are_checked_before_memory_is_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = {"dtype": "BF16", "shape": [2**40, 2], "data_offsets": [0, 2**42]}
    text = json.dumps({"W_enc": entry}).encode()
    (folder / NAMES["saelens"][1]).write_bytes(len(text).to_bytes(8, "little") + text)

    def refuse(*_: Any) -> Any:
        raise AssertionError("memory was taken")

    monkeypatch.setattr(tensor_file.np, "empty", refuse)
    refused(folder, f"is truncated: header declares {8 + len(text) + 2**42} bytes")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not valid JSON"),
        ("[1]", "holds JSON, but not a mapping$"),
        ('{"k": NaN}', "NaN is not a JSON number"),
        ('{"k": 1, "k": 2}', "a key is repeated"),
        ("[" * 100_000, "nested too deeply"),
        (" " * 2_000_000, "is longer than 1048576 bytes"),
    ],
)
def test_hostile_configurations(text: str, message: str, folder: Path) -> None:
    (folder / "cfg.json").write_text(text, "utf-8")
    refused(folder, message)


# What does not fit together.

Change = Callable[[dict[str, Any], dict[str, Any]], Any]
UNFIT: list[tuple[str, Change, str]] = [
    ("saelens", lambda c, t: t.pop("b_enc"), "lacks the tensor 'b_enc'"),
    ("saelens", lambda c, t: t.update(r_mag=ones(C)), "has a tensor 'r_mag' that its kind"),
    ("saelens", lambda c, t: t.update(threshold=ones(C)), "has a tensor 'threshold'"),
    ("saelens", lambda c, t: t.update(W_enc=ones(C, V)), r"'W_enc' of shape \(6, 4\); .* \(4, 6\)"),
    ("saelens", lambda c, t: t.update(b_dec=ones(V, 1)), r"'b_dec' of shape \(4, 1\)"),
    ("saelens", lambda c, t: t.update(b_dec=np.ones(V, np.int32)), "'b_dec' as int32; it must"),
    ("saelens", lambda c, t: t.update(b_dec=ones(V) * np.nan), "'b_dec' has values that are not"),
    ("saelens", lambda c, t: t.update(b_dec=np.full(V, 1e39)), "not finite in float32"),
    ("saelens", lambda c, t: t.update(scaling_factor=2 * ones(C)), "'scaling_factor' other than"),
    ("saelens", lambda c, t: c.pop("d_in"), "lacks 'd_in'"),
    ("saelens", lambda c, t: c.update(d_in=True), "'d_in' = True; it must be an integer from 1"),
    ("saelens", lambda c, t: c.update(d_sae=0), "'d_sae' = 0; it must"),
    ("saelens", lambda c, t: c.update(d_sae=C + 1), r"asks for \(4, 7\)"),
    ("saelens", lambda c, t: c.update(k=2.0), "'k' = 2.0; it must"),
    ("saelens", lambda c, t: c.update(k=C + 1), "asks for 7 active components of 6"),
    ("saelens", lambda c, t: c.pop("architecture"), "lacks 'architecture'"),
    ("saelens", lambda c, t: c.update(architecture="gated"), "'gated'; can be read: standard,"),
    ("saelens", lambda c, t: c.update(architecture=["topk"]), "it must be a text"),
    ("saelens", lambda c, t: c.update(architecture="jumprelu"), "lacks the tensor 'threshold'"),
    (
        "saelens",
        lambda c, t: (c.update(architecture="batchtopk"), t.update(topk_threshold=ones())),
        "lacks 'rescale_acts_by_decoder_norm'",
    ),
    (
        "saelens",
        lambda c, t: (c.update(rescale_acts_by_decoder_norm=True), t.update(W_dec=0 * ones(C, V))),
        r"part of zeros \(component 0\)",
    ),
    (
        "saelens",
        lambda c, t: (
            c.update(rescale_acts_by_decoder_norm=True),
            t.update(W_dec=ones(C, V) * np.float32(1e30), W_enc=ones(V, C) * np.float32(1e30)),
        ),
        "encoder weights by the lengths of parts has values that are not finite",
    ),
    ("saelens", lambda c, t: c.update(apply_b_dec_to_input="no"), "it must be true or false"),
    (
        "saelens",
        lambda c, t: c.update(normalize_activations="expected_average_only_in"),
        "fold_activation_norm_scaling_factor",
    ),
    (
        "saelens",
        lambda c, t: c.update(normalize_activations="layer_norm"),
        "'layer_norm'; only dictionaries of rows as they are",
    ),
    ("saelens", lambda c, t: c.update(reshape_activations="new"), "'reshape_activations'"),
    ("saelens", lambda c, t: c.update(sae_lens_version="new"), "'new'; that is no version"),
    (
        "saelens",
        lambda c, t: (c.pop("metadata"), c.update(activation_fn="tanh-relu")),
        "the activation 'tanh-relu'; can be read: relu, topk",
    ),
    ("sparsify", lambda c, t: c.update(transcode=True), "says 'transcode'"),
    ("sparsify", lambda c, t: c.update(skip_connection=True), "says 'skip_connection'"),
    ("sparsify", lambda c, t: c.update(signed=True), "says 'signed'"),
    ("sparsify", lambda c, t: c.update(activation="groupmax"), "'groupmax'; only 'topk'"),
    ("sparsify", lambda c, t: c.pop("num_latents"), "lacks 'expansion_factor'"),
    ("sparsify", lambda c, t: t.update(W_skip=ones(V, V)), "has a tensor 'W_skip'"),
    ("sparsify", lambda c, t: t.pop("W_dec"), "lacks the tensor 'W_dec'"),
    ("learning", lambda c, t: c.pop("trainer"), "lacks 'trainer'"),
    ("learning", lambda c, t: c.update(trainer=[]), "it must be a mapping"),
    (
        "learning",
        lambda c, t: c["trainer"].update(dict_class="GatedAutoEncoder"),
        "'GatedAutoEncoder'; can be read: AutoEncoder,",
    ),
    ("learning", lambda c, t: c["trainer"].update(k=3), "another 'k' than"),
    ("learning", lambda c, t: t.update(k=np.array([2, 3])), "another 'k' than"),
    (
        "learning",
        lambda c, t: (
            c["trainer"].update(dict_class="BatchTopKSAE"),
            t.update(threshold=ones(C)),
        ),
        r"'threshold' of shape \(6,\)",
    ),
]


@pytest.mark.parametrize(("form", "change", "message"), UNFIT, ids=range(len(UNFIT)))
def test_what_does_not_fit_together(
    form: str, change: Change, message: str, tmp_path: Path
) -> None:
    config, tensors = content(form)
    change(config, tensors)
    refused(put(tmp_path / "sae", form, config, tensors), message)


def test_which_form_it_is(folder: Path, tmp_path: Path) -> None:
    refused(tmp_path / "missing", "missing: no such folder$")
    refused(folder / "cfg.json", "cfg.json: is a file; name its folder$")
    refused(tmp_path, "holds none of sae_weights.safetensors, sae.safetensors, ae.safetensors$")
    put(folder, "sparsify", *content("sparsify"))
    refused(folder, "holds both sae_weights.safetensors and sae.safetensors; keep one of them$")
    (folder / "sae.safetensors").unlink()
    (folder / "cfg.json").unlink()
    refused(folder, "cfg.json: no such file$")


# Writing.


def test_an_existing_folder_stays_unless_it_may_be_replaced(tmp_path: Path) -> None:
    place = tmp_path / "sae"
    write_saelens(place, topk())
    with pytest.raises(DataError, match="exists; pass --force"):
        write_saelens(place, topk(n_active=3))
    assert read_dictionary(place).n_active == 2
    write_saelens(place, topk(n_active=3), force=True)
    assert read_dictionary(place).n_active == 3
    assert os.listdir(tmp_path) == ["sae"]


def test_only_a_folder_of_this_form_is_replaced(tmp_path: Path) -> None:
    place = tmp_path / "sae"
    write_saelens(place, topk())
    (place / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match=r"also holds 'notes\.txt'"):
        write_saelens(place, topk(), force=True)
    (tmp_path / "link").symlink_to(place)
    for name in ("link", "sae/notes.txt"):
        with pytest.raises(DataError, match="is not a folder"):
            write_saelens(tmp_path / name, topk(), force=True)
    assert sorted(os.listdir(tmp_path)) == ["link", "sae"]
    assert len(os.listdir(place)) == 3


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_what_was_there(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, _: Any) -> None:
        path.write_bytes(b"half")
        raise error

    write_saelens(tmp_path / "old", topk())
    monkeypatch.setattr(dictionary_files, "write_tensors", fail)
    expected = DataError if isinstance(error, OSError) else KeyboardInterrupt
    for name in ("old", "new"):
        with pytest.raises(expected):
            write_saelens(tmp_path / name, topk(), force=True)
    assert os.listdir(tmp_path) == ["old"]
    assert read_dictionary(tmp_path / "old").n_active == 2


def test_a_rename_that_fails_brings_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, rename = tmp_path / "sae", os.rename

    def fail(source: Path, target: Path) -> None:
        if target == place and not str(source).endswith("-old"):
            raise PermissionError(13, "Permission denied")
        rename(source, target)

    write_saelens(place, topk())
    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(DataError, match=r"cannot write .*sae: Permission denied$"):
        write_saelens(place, topk(n_active=3), force=True)
    assert os.listdir(tmp_path) == ["sae"]
    assert read_dictionary(place).n_active == 2


def test_what_is_not_written(tmp_path: Path) -> None:
    for metadata, message in (
        ({"sae_lens_version": "7"}, "'sae_lens_version', which is set by the writer"),
        ({"seen": float("nan")}, "only finite numbers"),
        ({"model": object()}, "is a object"),
    ):
        with pytest.raises(SpecError, match=message):
            write_saelens(tmp_path / "sae", topk(), metadata)
    with pytest.raises(DataError, match=r"cannot write .*missing/sae: No such file"):
        write_saelens(tmp_path / "missing" / "sae", topk())
    assert os.listdir(tmp_path) == []


# A dictionary that cannot be.

IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"kind": "gated"}, "kind='gated' is unknown; allowed: topk, batchtopk, jumprelu, relu"),
    ({"parts": ones(C)}, r"parts has shape \(6,\); it must be \(n_components, n_values\)"),
    ({"parts": ones(0, V)}, r"parts has shape \(0, 4\)"),
    ({"bias": ones(C)}, r"bias has shape \(6,\); parts ask for \(4,\)"),
    ({"centre": np.ones(V)}, "centre is float64; it must be an array of float32"),
    ({"encoder_bias": [1.0] * C}, "encoder_bias is list"),
    ({"encoder_weight": ones(C, V) * np.inf}, "encoder_weight has values that are not finite"),
    ({"n_active": None}, "n_active=None does not suit 'topk': an integer"),
    ({"n_active": 2.0}, "n_active=2.0 does not suit 'topk'"),
    ({"n_active": True}, "n_active=True does not suit"),
    ({"n_active": 0}, "n_active=0 does not suit"),
    ({"n_active": C + 1}, "n_active=7 does not suit 'topk': an integer, above 0 and at most 6"),
    ({"kind": "relu"}, "kind='relu' has no n_active; 2 was given"),
    ({"threshold": ones(C)}, "kind='topk' has no threshold"),
    ({"kind": "batchtopk"}, "kind='batchtopk' needs threshold"),
    ({"kind": "batchtopk", "n_active": np.nan, "threshold": ones(C)}, "n_active=nan does not"),
    ({"kind": "batchtopk", "threshold": -ones(C)}, "threshold has negative values"),
    ({"kind": "batchtopk", "threshold": ones(V)}, r"threshold has shape \(4,\)"),
]


@pytest.mark.parametrize(("changes", "message"), IMPOSSIBLE, ids=range(len(IMPOSSIBLE)))
def test_an_impossible_dictionary(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        topk(**changes)


@pytest.mark.parametrize(
    ("centre", "scale", "message"),
    [
        (0, 0, "scale must be positive"),
        (0, [1, 1, -1, 1], "scale must be positive"),
        (0, [1, 2], r"scale has shape \(2,\); it must be a number or \(4,\)"),
        (np.nan, 1, "centre has values that are not finite"),
        (0, 1e-300, "encoder_weight has values that are not finite in float32"),
        (1e39, 1, "bias has values that are not finite in float32"),
    ],
)
def test_an_impossible_scaler(centre: Any, scale: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        fold_scaler(topk(), centre, scale)
