"""The dictionaries that `sparse_interchange` compares, by the project that saves or loads them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from autoencode.dictionary import KINDS, Dictionary, fold_scaler
from autoencode.dictionary_files import read_dictionary, write_saelens
from autoencode.errors import ModelFileError

N_VALUES, N_COMPONENTS, N_ACTIVE = 24, 96, 6


class Sides(NamedTuple):
    """One dictionary on both sides: what we hold, and what the other project makes of rows.

    ``model`` is the estimator whose codes and rows are ours; None: after the formula.
    """

    what: str
    ours: Dictionary
    theirs: Callable[[Any], tuple[Any, Any]]
    rows: Any
    model: Any = None


def random_dictionary(kind: str, rng: np.random.Generator) -> Dictionary:
    """Return a dictionary with biases, a centre and parts of several lengths."""

    def draw(*shape: int) -> Any:
        return rng.normal(size=shape).astype(np.float32)

    thresholds = {
        "jumprelu": rng.uniform(0, 1, N_COMPONENTS).astype(np.float32),
        "batchtopk": np.full(N_COMPONENTS, 0.7, np.float32),
    }
    return Dictionary(
        kind,
        draw(N_COMPONENTS, N_VALUES) / np.float32(np.sqrt(N_VALUES)),
        draw(N_COMPONENTS) / 4,
        draw(N_COMPONENTS, N_VALUES),
        draw(N_VALUES),
        draw(N_VALUES),
        n_active={"topk": N_ACTIVE, "batchtopk": N_ACTIVE + 0.5}.get(kind),
        threshold=thresholds.get(kind),
    )


def written(folder: Path, n_rows: int, rng: np.random.Generator) -> Iterator[Sides]:
    """Yield dictionaries that we wrote and SAELens loaded, as they were before."""
    from sae_lens import SAE

    for kind in KINDS:
        for name, centre in (("plain", None), ("scaled", 3.0), ("far", 500.0)):
            made = random_dictionary(kind, rng)
            rows = rng.normal(size=(n_rows, N_VALUES))
            if centre is not None:
                at = rng.normal(size=N_VALUES) * centre
                made, rows = fold_scaler(made, at, 0.5), rows * 0.5 + at
            target = folder / f"{kind}-{name}"
            write_saelens(target, made, {"model_name": "random"})
            loaded = SAE.load_from_disk(target)
            yield Sides(f"written {kind} {name}", made, _saelens(loaded), np.float32(rows))
            again = read_dictionary(target)
            yield Sides(f"read back {kind} {name}", again, _saelens(loaded), np.float32(rows))


def saelens(folder: Path, n_rows: int, rng: np.random.Generator) -> Iterator[Sides]:
    """Yield dictionaries that SAELens saved, for use and in the midst of training."""
    import sae_lens
    import torch
    from sae_lens import SAE

    size = {"d_in": N_VALUES, "d_sae": N_COMPONENTS}
    makers: dict[str, Callable[..., Any]] = {
        "Standard": lambda **o: sae_lens.StandardSAE(sae_lens.StandardSAEConfig(**size, **o)),
        "JumpReLU": lambda **o: sae_lens.JumpReLUSAE(sae_lens.JumpReLUSAEConfig(**size, **o)),
        "TopK": lambda **o: sae_lens.TopKSAE(sae_lens.TopKSAEConfig(**size, k=N_ACTIVE, **o)),
        "TopK rescaled": lambda **o: sae_lens.TopKSAE(
            sae_lens.TopKSAEConfig(**size, k=N_ACTIVE, rescale_acts_by_decoder_norm=True, **o)
        ),
    }
    for name, make in makers.items():
        for dtype in ("float32", "bfloat16", "float16", "float64"):
            for subtracts in (True, False):
                target = folder / f"{name}-{dtype}-{subtracts}"
                saved = make(dtype=dtype, apply_b_dec_to_input=subtracts)
                randomise(saved.named_parameters(), torch, rng)
                saved.save_model(target)
                loaded = SAE.load_from_disk(target, dtype="float32")
                how = f"{name} {dtype}{'' if subtracts else ', bias not subtracted'}"
                rows = np.float32(rng.normal(size=(n_rows, N_VALUES)))
                yield Sides(how, read_dictionary(target), _saelens(loaded), rows)
    yield from of_saelens_5(folder, n_rows, rng)
    yield from trained_by_saelens(folder, n_rows, rng)


def of_saelens_5(folder: Path, n_rows: int, rng: np.random.Generator) -> Iterator[Sides]:
    """Yield dictionaries whose configuration has the keys from before SAELens 6."""
    import sae_lens
    import torch
    from sae_lens import SAE

    for activation in ("relu", "topk"):
        target = folder / f"old-{activation}"
        saved = sae_lens.StandardSAE(sae_lens.StandardSAEConfig(d_in=N_VALUES, d_sae=N_COMPONENTS))
        randomise(saved.named_parameters(), torch, rng)
        saved.save_model(target)
        old = {
            "d_in": N_VALUES,
            "d_sae": N_COMPONENTS,
            "dtype": "torch.float32",
            "hook_name": "blocks.0.hook_resid_pre",
            "activation_fn_str": activation,
            "activation_fn_kwargs": {"k": N_ACTIVE} if activation == "topk" else {},
            "normalize_activations": False,
            "sae_lens_version": "5.9.1",
        }
        (target / "cfg.json").write_text(json.dumps(old))
        loaded = SAE.load_from_disk(target)
        rows = np.float32(rng.normal(size=(n_rows, N_VALUES)))
        yield Sides(f"version 5, {activation}", read_dictionary(target), _saelens(loaded), rows)


def estimators(folder: Path, n_rows: int, rng: np.random.Generator) -> Iterator[Sides]:
    """Yield fitted estimators that SAELens loaded, and SAELens' own as estimators."""
    from sae_lens import SAE

    from autoencode import SparseAutoencoder
    from autoencode.export import export_saelens

    planted = np.abs(rng.normal(size=(2000, N_COMPONENTS))) * (
        rng.random((2000, N_COMPONENTS)) < 0.1
    )
    data = np.float32(planted @ rng.normal(size=(N_COMPONENTS, N_VALUES)) + 5.0)
    for kind in KINDS:
        for scaling in ("common", "standard"):
            model = SparseAutoencoder(
                N_COMPONENTS,
                n_active=N_ACTIVE,
                bottleneck=kind,
                refine=None,
                scaling=scaling,
                max_epochs=3,
                random_state=0,
            ).fit(data)
            target = folder / f"fitted-{kind}-{scaling}"
            export_saelens(model, target)
            loaded, read = SAE.load_from_disk(target), read_dictionary(target)
            rows = data[:n_rows]
            yield Sides(f"fitted {kind} {scaling}", read, _saelens(loaded), rows, model)
    for sides in (*written(folder, n_rows, rng), *saelens(folder, n_rows, rng)):
        model = SparseAutoencoder.from_dictionary(sides.ours)
        yield sides._replace(what=f"estimator of {sides.what}", model=model)


def trained_by_saelens(folder: Path, n_rows: int, rng: np.random.Generator) -> Iterator[Sides]:
    """Yield what SAELens saves of its training: for use, and as a checkpoint."""
    import sae_lens
    import torch
    from sae_lens import SAE

    size = {"d_in": N_VALUES, "d_sae": N_COMPONENTS, "k": N_ACTIVE}
    widths = [N_COMPONENTS // 4, N_COMPONENTS]
    for rescales in (True, False):
        options = {**size, "rescale_acts_by_decoder_norm": rescales}
        trainers = {
            "TopK training": sae_lens.TopKTrainingSAE(sae_lens.TopKTrainingSAEConfig(**options)),
            "BatchTopK training": sae_lens.BatchTopKTrainingSAE(
                sae_lens.BatchTopKTrainingSAEConfig(**options)
            ),
            "Matryoshka training": sae_lens.MatryoshkaBatchTopKTrainingSAE(
                sae_lens.MatryoshkaBatchTopKTrainingSAEConfig(**options, matryoshka_widths=widths)
            ),
        }
        for name, trainer in trainers.items():
            randomise(trainer.named_parameters(), torch, rng)
            if hasattr(trainer, "topk_threshold"):
                trainer.topk_threshold.fill_(1.1)
            target = folder / f"{name}-{rescales}"
            trainer.save_model(target / "checkpoint")
            trainer.save_inference_model(target / "inference")
            loaded = SAE.load_from_disk(target / "inference")
            rows = np.float32(rng.normal(size=(n_rows, N_VALUES)))
            for part in ("inference", "checkpoint"):
                how = f"{name} {'rescaled ' if rescales else ''}{part}"
                read = read_dictionary(target / part)
                # The checkpoint's codes are those of the same training saved for use.
                yield Sides(how, read, _saelens(loaded), rows)


def sparsify(folder: Path, n_rows: int, rng: np.random.Generator) -> Iterator[Sides]:
    """Yield coders that sparsify saved."""
    import torch
    from sparsify import SparseCoder, SparseCoderConfig

    for name, options in (
        ("num_latents", {"num_latents": N_COMPONENTS}),
        ("expansion_factor", {"expansion_factor": N_COMPONENTS // N_VALUES}),
    ):
        for dtype in (torch.float32, torch.bfloat16):
            coder = SparseCoder(N_VALUES, SparseCoderConfig(k=N_ACTIVE, **options), dtype=dtype)
            randomise(coder.named_parameters(), torch, rng)
            target = folder / f"{name}-{dtype}"
            coder.save_to_disk(target)
            loaded = SparseCoder.load_from_disk(target).to(torch.float32)

            def theirs(rows: Any, coder: Any = loaded) -> tuple[Any, Any]:
                with torch.no_grad():
                    values, indices, _ = coder.encode(torch.from_numpy(rows))
                    code = torch.zeros(len(rows), N_COMPONENTS).scatter(1, indices, values)
                    return code.numpy(), coder.decode(values, indices).numpy()

            rows = np.float32(rng.normal(size=(n_rows, N_VALUES)))
            yield Sides(f"{name} {dtype}", read_dictionary(target), theirs, rows)


def randomise(parameters: Any, torch: Any, rng: np.random.Generator) -> None:
    """Give every parameter random values; thresholds stay positive."""
    with torch.no_grad():
        for name, parameter in parameters:
            drawn = rng.normal(size=parameter.shape) / (4 if parameter.ndim == 1 else 3)
            drawn = np.abs(drawn) if name == "threshold" else drawn
            parameter.copy_(torch.from_numpy(drawn))


def _saelens(loaded: Any) -> Callable[[Any], tuple[Any, Any]]:
    import torch

    def theirs(rows: Any) -> tuple[Any, Any]:
        with torch.no_grad():
            code = loaded.encode(torch.from_numpy(rows))
            return code.numpy(), loaded.decode(code).numpy()

    return theirs


def dictionary_learning(folder: Path, n_rows: int, rng: np.random.Generator) -> Iterator[Sides]:
    """Yield dictionaries that dictionary_learning saved and loads."""
    import torch
    from dictionary_learning import dictionary as plain
    from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
    from dictionary_learning.trainers.top_k import AutoEncoderTopK
    from dictionary_learning.utils import load_dictionary

    size = (N_VALUES, N_COMPONENTS)
    groups = [N_COMPONENTS // 4, N_COMPONENTS - N_COMPONENTS // 4]
    made = [
        plain.AutoEncoder(*size),
        plain.AutoEncoderNew(*size),
        plain.JumpReluAutoEncoder(*size),
        AutoEncoderTopK(*size, k=N_ACTIVE),
        BatchTopKSAE(*size, k=N_ACTIVE),
        MatryoshkaBatchTopKSAE(*size, k=N_ACTIVE, group_sizes=groups),
    ]
    for threshold in (0.4, -1.0):  # below zero: training had not set it yet
        for module in made:
            name = type(module).__name__
            if threshold < 0 and "BatchTopK" not in name:
                continue
            randomise(module.named_parameters(), torch, rng)
            if "TopK" in name:
                module.threshold.fill_(threshold)
            target = folder / f"{name}{threshold}"
            save(target, name, module.state_dict(), torch)
            loaded, _ = load_dictionary(str(target), "cpu")

            def theirs(rows: Any, module: Any = loaded) -> tuple[Any, Any]:
                with torch.no_grad():
                    code = module.encode(torch.from_numpy(rows))
                    return code.numpy(), module.decode(code).numpy()

            rows = np.float32(rng.normal(size=(n_rows, N_VALUES)))
            how = name if threshold > 0 else f"{name}, no threshold yet"
            yield Sides(how, converted(target), theirs, rows)


def save(target: Path, name: str, state: Any, torch: Any) -> None:
    """Save a dictionary as the project's own training does."""
    target.mkdir()
    trainer: dict[str, Any] = {
        "dict_class": name,
        "activation_dim": N_VALUES,
        "dict_size": N_COMPONENTS,
    }
    if "TopK" in name:
        trainer["k"] = N_ACTIVE
    (target / "config.json").write_text(json.dumps({"trainer": trainer}))
    torch.save(state, target / "ae.pt")


def converted(target: Path) -> Any:
    """Read a folder after running the command that its refusal names."""
    try:
        read_dictionary(target)
    except ModelFileError as error:
        code = str(error).partition('python -c "')[2].rstrip('"')
        subprocess.run([sys.executable, "-c", code], cwd=target, check=True)
        return read_dictionary(target)
    raise AssertionError("a pickle was read")


MAKERS: dict[str, tuple[Callable[..., Iterator[Sides]], ...]] = {
    "saelens": (written, saelens, estimators),
    "sparsify": (sparsify,),
    "dictionary_learning": (dictionary_learning,),
}
