"""Noise removed from rows of two sets of pictures and two tables, beside peers and oracles.

Three kinds of noise at four levels each (`denoising_sets`); figures are PSNR in dB against
clean test rows, whose noise nobody has seen. Ours is `DenoisingAutoencoder` with its
defaults, in three situations:

- ``target``: ``fit(noisy, target=clean)``, the same clean rows as below,
- ``clean``: ``fit(clean)``, one fit for all kinds and levels of noise,
- ``noisy``: ``fit(noisy)``, and nothing clean anywhere.

``fixed`` are twelve plain denoising autoencoders, trained on clean rows with fresh noise of
one kind and level each. The "best fixed" of a noise is the one of them that is best for its
clean test rows, which no user knows; the "clean-target model" is the one trained with that
very noise. What else peers are told is in `denoising_peers`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from denoising_peers import PEERS, PICTURE_PEERS, train_denoiser
from denoising_sets import MOST_TRAINING_ROWS, PICTURES, SETS, Noise, Rows, load, noises, psnr
from harness import print_table
from table_sets import Results, installed_ours, print_machine, table_parser, timed

SITUATIONS = ("target", "clean", "noisy")
FIXED = "fixed"
MARGINS = {
    "target": ("best fixed", 0.1),
    "clean": ("best fixed", 0.1),
    "noisy": ("clean-target", 0.7),
}
"""What ours is compared with in each situation, and the dB that it may be below."""

ALSO_RIGHT = {"salt_pepper": "impulse", "mask": "impulse"}
"""The kind that these two are when it is not told which values replace others."""
PEER_PACKAGES = ("scikit-image", "PyWavelets", "scipy")
Line = dict[str, Any]
Figures = dict[tuple[str, str], dict[str, float]]
"""By set and noise, by method; means over seeds."""


def peer(rows: Rows, method: str) -> Line:
    """Return a peer's PSNR for every noise."""
    call = {**PEERS, **PICTURE_PEERS}[method]
    return {"psnr": {noise.name: call(rows, noise) for noise in noises(rows.name)}}


def fixed(rows: Rows, noise: Noise) -> Line:
    """Train with one noise; return the PSNR for every noise."""
    restore = train_denoiser(rows, noise)
    return {"psnr": _by_noise(rows, restore)}


def ours(rows: Rows, situation: str, noise: Noise | None) -> Line:
    """Fit ours; return its PSNR, and the noise that it found (see the module).

    Parameters
    ----------
    rows : Rows
        Clean rows.
    situation : str
        Of `SITUATIONS`.
    noise : Noise or None
        Of the rows. None: every noise, of test rows alone (``"clean"``).
    """
    from autoencode import DenoisingAutoencoder

    model = DenoisingAutoencoder(random_state=rows.seed)
    if noise is None:
        model.fit(rows.train)
        return {"psnr": _by_noise(rows, model.denoise)}
    given = rows.noisy(noise, "train")
    if situation == "target":
        model.fit(given, target=rows.train)
    else:
        model.fit(given)
    restored = np.asarray(model.denoise(rows.noisy(noise, "test")))
    found = {"kind": model.noise_.kind, "level": float(model.noise_.level)}
    return {"psnr": {noise.name: psnr(rows.test, restored)}, "found": found}


def _by_noise(rows: Rows, restore: Callable[[Any], Any]) -> dict[str, float]:
    return {
        noise.name: psnr(rows.test, np.asarray(restore(rows.noisy(noise, "test"))))
        for noise in noises(rows.name)
    }


def jobs(name: str, methods: list[str]) -> dict[str, Callable[[Rows], Line]]:
    """Return everything that is to be measured of a set, by name."""
    result: dict[str, Callable[[Rows], Line]] = {}
    for method in methods:
        if method in PEERS or (method in PICTURE_PEERS and name in PICTURES):
            result[method] = partial(peer, method=method)
        elif method == "clean":
            result["ours clean"] = partial(ours, situation=method, noise=None)
        elif method == FIXED:
            for noise in noises(name):
                result[f"{FIXED} {noise.name}"] = partial(fixed, noise=noise)
        elif method in SITUATIONS:
            for noise in noises(name):
                work = partial(ours, situation=method, noise=noise)
                result[f"ours {method} {noise.name}"] = work
    return result


def measure(
    name: str, seed: int, work: Callable[[Rows], Line], data: Path, most_rows: int, quick: bool
) -> Line:
    """Load the rows and let one method run."""
    rows = load(name, data, seed, most_rows, quick=quick)
    line: Line = {"rows": len(rows.train)}
    with timed(line):
        result = work(rows)
    return {**line, **result}


def figures_of(runs: dict[str, dict[str, list[Line]]]) -> Figures:
    """Return the mean PSNR over seeds of every set, noise and method, oracles among them.

    Oracles choose for every seed.
    """
    result: Figures = {}
    for name, of in runs.items():
        for noise in noises(name):
            line: dict[str, float] = {}
            models = []
            for job, lines in of.items():
                values = [one["psnr"].get(noise.name) for one in lines]
                if None in values:
                    continue
                if job.startswith(FIXED):
                    models.append(values)
                    if job == f"{FIXED} {noise.name}":
                        line["clean-target"] = float(np.mean(values))
                else:
                    method = job.removesuffix(f" {noise.name}")
                    line[method] = float(np.mean(values))
            if models:
                line["best fixed"] = float(np.mean(np.max(models, axis=0)))
            result[name, noise.name] = line
    return result


def report_psnr(figures: Figures) -> None:
    """Print the PSNR of every method by set and noise."""
    methods = list(dict.fromkeys(method for of in figures.values() for method in of))
    rows = [
        [name, noise, *(None if method not in of else round(of[method], 2) for method in methods)]
        for (name, noise), of in figures.items()
    ]
    print_table("PSNR, dB", ["set", "noise", *methods], rows)


def report_counts(figures: Figures) -> None:
    """Print how often ours is within its margin and not below the noisy rows, and gains."""
    rows = []
    for situation, (other, margin) in MARGINS.items():
        for name in (*dict.fromkeys(name for name, _ in figures), "all"):
            some = [
                of
                for (where, _), of in figures.items()
                if name in (where, "all") and f"ours {situation}" in of and other in of
            ]
            if not some:
                continue
            gaps = np.array([of[f"ours {situation}"] - of[other] for of in some])
            gains = np.array([of[f"ours {situation}"] - of["input"] for of in some])
            near = f"{int((gaps >= -margin).sum())}/{len(some)}"
            above = f"{int((gains >= 0).sum())}/{len(some)}"
            line = [situation, name, f"{other} - {margin} dB", near, float(gaps.mean())]
            rows.append([*line, float(gaps.min()), above, float(gains.mean())])
    columns = ["situation", "set", "at least", "settings", "mean gap", "worst gap"]
    print_table("ours, gaps and gains in dB", [*columns, ">= input", "mean gain"], rows)


def report_found(runs: dict[str, dict[str, list[Line]]]) -> None:
    """Print the noise that ours found; its level beside the true one where the kind is right."""
    rows = []
    for name, of in runs.items():
        for noise in noises(name):
            for situation in ("target", "noisy"):
                lines = of.get(f"ours {situation} {noise.name}", [])
                if not lines:
                    continue
                kinds = [line["found"]["kind"] for line in lines]
                levels = [
                    line["found"]["level"] / noise.level
                    for line in lines
                    if line["found"]["kind"] in (noise.kind, ALSO_RIGHT.get(noise.kind))
                ]
                right, found = f"{len(levels)}/{len(kinds)}", ", ".join(dict.fromkeys(kinds))
                ratio = float(np.mean(levels)) if levels else None
                rows.append([name, noise.name, situation, found, right, ratio])
    columns = ["set", "noise", "situation", "kind found", "right", "level found / true"]
    print_table("noise found by ours", columns, rows)


def report_seconds(runs: dict[str, dict[str, list[Line]]]) -> None:
    """Print processor seconds of one fit (or of a peer on all noises) by set."""
    rows = []
    for name, of in runs.items():
        groups: dict[str, list[float]] = {}
        for job, lines in of.items():
            words = job.split()
            group = (
                FIXED if words[0] == FIXED else " ".join(words[:2]) if words[0] == "ours" else job
            )
            groups.setdefault(group, []).extend(line["core seconds"] for line in lines)
        rows += [[name, group, float(np.mean(seconds))] for group, seconds in groups.items()]
    print_table("processor seconds", ["set", "method", "mean"], rows)


def chosen_methods(arguments: argparse.Namespace) -> list[str]:
    """Return the methods asked for, without ours where the package does not have it."""
    methods: list[str] = arguments.methods
    if not installed_ours("DenoisingAutoencoder"):
        print("autoencode.DenoisingAutoencoder: not installed, left out")
        methods = [method for method in methods if method not in SITUATIONS]
    return methods


def main() -> None:
    """Measure every set, seed and method that the file does not have yet."""
    every = [*PEERS, *PICTURE_PEERS, FIXED, *SITUATIONS]
    options = table_parser(__doc__.splitlines()[0], SETS, seeds=3)
    options.add_argument("--methods", nargs="+", choices=every, default=every)
    options.add_argument("--most-rows", type=int, default=MOST_TRAINING_ROWS, metavar="ROWS")
    arguments = options.parse_args()
    methods = chosen_methods(arguments)
    results = Results(arguments.json)
    runs: dict[str, dict[str, list[Line]]] = {}
    for name in arguments.tables:
        for seed in arguments.seeds:
            for job, work in jobs(name, methods).items():
                key = {"benchmark": "denoising", "quick": arguments.quick}
                key |= {"table": name, "seed": seed, "method": job}
                key |= {"most_rows": arguments.most_rows}
                sizes = arguments.most_rows, arguments.quick
                run = partial(measure, name, seed, work, arguments.data, *sizes)
                runs.setdefault(name, {}).setdefault(job, []).append(results.get(key, run))
    figures = figures_of(runs)
    report_psnr(figures)
    report_counts(figures)
    report_found(runs)
    report_seconds(runs)
    print_machine(PEER_PACKAGES)


if __name__ == "__main__":
    main()
