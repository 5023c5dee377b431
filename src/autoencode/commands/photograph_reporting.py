"""From a fitted model of pictures of any size, and its pictures, to what a report shows."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from autoencode.commands.filter_reporting import photograph_filters
from autoencode.errors import DataError
from autoencode.estimators import PictureDenoiser, PictureRestorer
from autoencode.holes import blocks
from autoencode.pictures.adapting import expected_error
from autoencode.pictures.hole_network import smooth
from autoencode.pictures.network import middle
from autoencode.pictures.quality import wiener
from autoencode.report_parts.markup import percent, value_text
from autoencode.report_parts.photographs import (
    FoundLevels,
    PhotographReportData,
    Quality,
    ShownParts,
)

__all__ = ["photograph_report_data"]

Pixels = npt.NDArray[Any]
# A part that something was done to, and what: the deviation of its noise, or where its holes are.
Spoilt = tuple[Pixels, Any]
Way = Callable[[Pixels, Any], Pixels]

_SIDE, _MOST_PARTS = 96, 6
_LEVELS = (5 / 255, 15 / 255, 25 / 255, 50 / 255, 75 / 255)
_SHOWN_LEVEL, _SHOWN_SHARE = 25 / 255, 0.25
_SHARES = (0.1, 0.25, 0.5, 0.75)
_FITTED_TO = {
    "clean": "clean pictures",
    "noisy": "noisy pictures",
    "pairs": "pairs of noisy and clean pictures",
}


@dataclass(frozen=True)
class _Parts:
    """Held-out parts ``(height, width, channels)``, in float32 and the data's units."""

    names: list[str]
    given: list[Pixels]
    wanted: list[Pixels] | None


def photograph_report_data(
    model: PictureDenoiser | PictureRestorer,
    pictures: Sequence[Pixels],
    targets: Sequence[Pixels] | None = None,
    *,
    names: Sequence[str] | None = None,
    title: str = "autoencode",
    data_path: str = "",
    model_path: str = "",
) -> PhotographReportData:
    """Collect what a report shows about a model of pictures of any size.

    Parameters
    ----------
    model : PictureDenoiser or PictureRestorer
        Fitted.
    pictures : sequence of ndarray
        What it was fitted to.
    targets : sequence of ndarray or None
        The same without noise, if the fit had them.
    names : sequence of str or None
        Of the pictures.
    title : str
        The page's heading.
    data_path, model_path : str
        Where data and model are.

    Returns
    -------
    PhotographReportData
        With figures on at most six parts of 96 x 96 pixels that the fit did not see.

    Raises
    ------
    DataError
        If these are not the pictures of the fit.
    """
    parts = _held_out(model, pictures, targets, names)
    facts, n_colours = model._model.facts, model._model.n_colours
    colours = "grey" if n_colours == 1 else f"{n_colours} colours"
    known = {
        "data": data_path,
        "model": model_path,
        "pictures": f"{facts['n_pictures']:,}, {facts['n_pixels']:,} pixels, {colours}",
        "channels inside": ", ".join(map(str, model._model.network.widths)),
        "weights": f"{sum(p.numel() for p in model._model.network.parameters()):,}",
        "epochs": str(len(model.history_.get("epoch", []))),
        "seconds": f"{facts['seconds']:.1f}",
        "stopped": str(facts["stop_reason"]),
        "seed": str(model.random_state),
    }
    return PhotographReportData(
        title=title,
        facts=known,
        history=model.history_,
        loading=_loading(model, model_path),
        filters=photograph_filters(model._model.network, n_colours),
        **(_of_noise if isinstance(model, PictureDenoiser) else _of_holes)(model, parts),
    )


def _held_out(
    model: Any,
    pictures: Sequence[Pixels],
    targets: Sequence[Pixels] | None,
    names: Sequence[str] | None,
) -> _Parts:
    """Return a few parts of held-out areas, one of each at least."""
    areas = model._model.facts["held_out_areas"][:_MOST_PARTS]
    found = _Parts([], [], None if targets is None else [])
    for number, *area in areas:
        for place in _places(area, -(-_MOST_PARTS // len(areas))):
            for group, into in ((pictures, found.given), (targets, found.wanted)):
                if group is None or into is None:
                    continue
                picture = group[number] if number < len(group) else np.empty((0, 0))
                if any(one.stop > side for one, side in zip(place, picture.shape, strict=False)):
                    raise DataError(
                        "these are not the pictures of the fit: give those for the report"
                    )
                part = picture[place].astype(np.float32)
                into.append(part[..., None] if part.ndim == 2 else part)
            name = f"picture {number}" if names is None else names[number]
            found.names.append(f"{name}, at ({place[0].start}, {place[1].start})")
    return found


def _places(area: Sequence[int], count: int) -> list[tuple[slice, slice]]:
    """Return where some parts of an area lie, evenly spread over it."""
    top, left, height, width = area
    tall, wide = min(_SIDE, height), min(_SIDE, width)
    grid = [
        (slice(line, line + tall), slice(column, column + wide))
        for line in range(top, top + height - tall + 1, tall)
        for column in range(left, left + width - wide + 1, wide)
    ]
    # Those at the ends are at the edges of the picture.
    chosen = np.linspace(0, len(grid) - 1, count + 2).round().astype(int)[1:-1]
    return [grid[place] for place in np.unique(chosen)]


def _of_noise(model: PictureDenoiser, parts: _Parts) -> dict[str, Any]:
    """Return what is to be said of a model that takes noise out."""
    fitted, white = model._model, model._model.white
    clean = parts.given if model.situation_ == "clean" else parts.wanted
    own = model.noise_.level if model.noise_.kind == "gaussian" else _SHOWN_LEVEL * white
    trials = {own: [(part, own) for part in parts.given]}
    words = "Their noise is their own, and its strength is estimated."
    if model.situation_ == "clean":
        rng = np.random.default_rng(0)
        trials = {
            level * white: [_with_noise(part, level * white, rng) for part in parts.given]
            for level in _LEVELS
        }
        words = f"Normal noise of {value_text(own, 3)} was added, and its strength is estimated."
    ways: dict[str, Way] = {
        "as it is": lambda part, _: part,
        "Wiener filter": _by_wiener,
        "model": lambda part, level: _as_given(lambda x: fitted.denoised(x, level)[0], part),
    }
    quality = []
    if clean is not None:
        quality = [Quality("noise", "deviation", list(trials), _lines(ways, trials, clean, white))]
    cards = [("Fitted to", f"{fitted.facts['n_pictures']:,}", _FITTED_TO[model.situation_])]
    if model.situation_ == "noisy":
        cards += _estimated(model, parts.given)
    shown = [(part, ways["model"](part, None)) for part, _ in trials[own]]
    return {
        "sentence": _sentence("takes noise out of pictures of any size", quality),
        "cards": cards,
        "shown": _shown("noisy", parts.names, clean, shown, white),
        "shown_words": words,
        "quality": quality,
        "quality_title": "PSNR by strength of the noise",
        "quality_words": "Held-out parts with noise, told how strong it is: as they are, by a "
        "Wiener filter of 5 x 5 pixels (Lee, 1980), and by the model. Higher is better.",
        "levels": [
            FoundLevels(
                level if clean is not None else None,
                [fitted.level_of(_plain(part)) for part, _ in trial],
            )
            for level, trial in trials.items()
        ],
    }


def _of_holes(model: PictureRestorer, parts: _Parts) -> dict[str, Any]:
    """Return what is to be said of a model that fills holes."""
    fitted, white = model._model, model._model.white
    ways: dict[str, Way] = {
        "mean of what is known": _by_mean,
        "smooth filling": _by_smoothing,
        "model": lambda part, hole: _as_given(
            lambda x: fitted.restored(x, np.broadcast_to(hole, part.shape).reshape(x.shape)), part
        ),
    }
    rng = torch.Generator().manual_seed(0)
    quality, shown, clean = [], [], []
    for kind in ("blocks", "pixels"):
        trials = {
            share: [(part, _hole(kind, part, share, rng)) for part in parts.given]
            for share in _SHARES
        }
        lines = _lines(ways, trials, parts.given, white)
        quality.append(Quality(kind, "share missing", _SHARES, lines))
        # Every other part is shown with holes of this kind.
        for part, hole in trials[_SHOWN_SHARE][len(quality) - 1 :: 2]:
            opaque = np.where(hole, np.float32(0), np.float32(white))
            shown.append((np.concatenate([part, opaque], 2), ways["model"](part, hole)))
            clean.append(part)
    names = [*parts.names[::2], *parts.names[1::2]]
    return {
        "sentence": _sentence("fills holes in pictures of any size", quality),
        "cards": [("Fitted to", f"{fitted.facts['n_pictures']:,}", "whole pictures")],
        "shown": _shown("with holes", names, clean, shown, white),
        "shown_words": f"{_SHOWN_SHARE:.0%} of their pixels were taken out, in a block or singly.",
        "quality": quality,
        "quality_title": "PSNR by kind and share of the holes",
        "quality_words": "Of what is filled in held-out parts: by the mean of what is known, by "
        "the smooth filling that the model starts from, and by the model. Higher is better.",
        "levels": [],
    }


def _lines(
    ways: dict[str, Way], trials: dict[float, list[Spoilt]], truth: Sequence[Pixels], white: float
) -> dict[str, list[float]]:
    """Return the mean PSNR over parts, by way and strength."""
    return {
        name: [
            float(
                np.mean(
                    [
                        _psnr(way(part, done), true, white, done)
                        for (part, done), true in zip(trial, truth, strict=True)
                    ]
                )
            )
            for trial in trials.values()
        ]
        for name, way in ways.items()
    }


def _psnr(found: Pixels, truth: Pixels, white: float, done: Any = None) -> float:
    """Return PSNR in dB; of what is filled, where there were holes."""
    squares = np.square((found.astype(np.float64) - truth) / white)
    if isinstance(done, np.ndarray):
        squares = squares[np.broadcast_to(done, squares.shape)]
    return -10 * float(np.log10(max(float(squares.mean()), 1e-12)))


def _plain(part: Pixels) -> Pixels:
    """Return a grey part as ``(height, width)``."""
    return part[..., 0] if part.shape[2] == 1 else part


def _as_given(process: Callable[[Pixels], Pixels], part: Pixels) -> Pixels:
    return process(_plain(part)).reshape(part.shape)


def _with_noise(part: Pixels, level: float, rng: np.random.Generator) -> Spoilt:
    noise = rng.standard_normal(part.shape, dtype=np.float32)
    return part + np.float32(level) * noise, level


def _hole(kind: str, part: Pixels, share: float, rng: torch.Generator) -> npt.NDArray[np.bool_]:
    """Return where one block, or single pixels, are missing, ``(height, width, 1)``."""
    height, width = part.shape[:2]
    found = torch.rand(1, height * width, generator=rng) < share
    if kind == "blocks":
        found = blocks((height, width), torch.tensor([[share]]), rng, most=1)
    hole: npt.NDArray[np.bool_] = found.reshape(height, width, 1).numpy()
    return hole


def _tensor(part: Pixels) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(part.transpose(2, 0, 1)))[None]


def _by_wiener(part: Pixels, level: float) -> Pixels:
    found: Pixels = wiener(_tensor(part), torch.tensor([level]))[0].numpy().transpose(1, 2, 0)
    return found


def _by_mean(part: Pixels, hole: Pixels) -> Pixels:
    return np.where(hole, part[~hole[..., 0]].mean(axis=0), part)


def _by_smoothing(part: Pixels, hole: Pixels) -> Pixels:
    found: Pixels = smooth(_tensor(part), _tensor(hole))[0].numpy().transpose(1, 2, 0)
    return found


def _estimated(model: PictureDenoiser, parts: Sequence[Pixels]) -> list[tuple[str, str, str]]:
    """Estimate from noisy parts alone how much of their noise is left (Stein, 1981)."""
    fitted, level = model._model, model.noise_.level / model._model.white
    rng, device = torch.Generator().manual_seed(0), next(fitted.network.parameters()).device
    left = []
    for part in parts:
        x = middle(_tensor(part / np.float32(fitted.white))[0], _SIDE, fitted.network.step)[None]
        probe = torch.randn(x.shape, generator=rng).sign()
        left.append(expected_error(fitted.network, x.to(device), probe.to(device), level))
    share = float(np.sqrt(max(float(np.mean(left)), 0.0))) / level
    found = value_text(model.noise_.level, 3)
    return [
        ("Noise found", found, "deviation, the median of the pictures"),
        ("Error left", percent(share), "of the noise, estimated without clean pictures"),
    ]


def _shown(
    spoilt: str,
    names: Sequence[str],
    clean: Sequence[Pixels] | None,
    pairs: Sequence[tuple[Pixels, Pixels]],
    white: float,
) -> ShownParts:
    """Return parts before and after, and below them their PSNR where it is known."""
    if clean is None:
        notes: list[list[str]] = [["", ""] for _ in pairs]
        return ShownParts((spoilt, "restored"), names, pairs, notes, white)
    triples = [(true, *pair) for true, pair in zip(clean, pairs, strict=True)]
    notes = []
    for true, given, found in triples:
        hole, before = None, ""
        if given.shape == true.shape:
            before = f"{_psnr(given, true, white):.1f} dB"
        else:
            hole = given[..., -1:] == 0
        notes.append(["", before, f"{_psnr(found, true, white, hole):.1f} dB"])
    return ShownParts(("original", spoilt, "restored"), names, triples, notes, white)


def _sentence(what: str, quality: Sequence[Quality]) -> str:
    """Say what the model does, and how much better than a simple way."""
    if not quality:
        return f"A network {what}, learned from noisy pictures alone."
    gains = []
    for one in quality:
        peer, model = list(one.lines.values())[1:]
        gains += [ours - theirs for ours, theirs in zip(model, peer, strict=True)]
    peer_name = list(quality[0].lines)[1]
    article = "a" if peer_name.startswith("Wiener") else "the"
    gain = float(np.mean(gains))
    return (
        f"A network {what}. On held-out parts it is {abs(gain):.1f} dB "
        f"{'better' if gain >= 0 else 'worse'} than {article} {peer_name}, in the mean."
    )


def _loading(model: PictureDenoiser | PictureRestorer, model_path: str) -> str:
    """Return the Python that loads the model and does what it is for."""
    name = os.path.basename(model_path) or "model.safetensors"
    last = "restored = model.denoise(picture)"
    if isinstance(model, PictureRestorer):
        last = "restored = model.restore(picture, mask)  # mask: True where to fill"
    mode = "L" if model._model.n_colours == 1 else "RGB"
    return (
        "import autoencode\nimport numpy as np\nfrom PIL import Image\n\n"
        f"model = autoencode.load({name!r})\n"
        f'picture = np.asarray(Image.open("photo.png").convert({mode!r}))\n{last}\n'
    )
