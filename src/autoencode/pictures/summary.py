"""A fitted model of noise in pictures in a few lines."""

from __future__ import annotations

from autoencode.pictures.model import PictureModel

__all__ = ["describe_pictures"]

_FITTED_TO = {
    "pairs": "pairs of noisy and clean pictures",
    "clean": "clean pictures with noise added, of 0 to 75/255 of white",
    "noisy": "noisy pictures alone",
}


def describe_pictures(model: PictureModel) -> str:
    """Return what was fitted, and how good it is on held-out parts."""
    facts = model.facts
    colours = "grey" if model.n_colours == 1 else f"{model.n_colours} colours"
    lines = [
        f"Takes noise out of pictures of any size, {colours}; fitted to "
        f"{_FITTED_TO[model.situation]}.",
        f"{facts['n_pictures']:,} pictures, {facts['n_pixels']:,} pixels; "
        f"{facts['seconds']:.1f} s; stopped: {facts['stop_reason']}.",
    ]
    if model.noise.kind == "gaussian":
        lines.append(f"Deviation of their noise: {model.noise.level:.3g}.")
    for row in facts["held_out"]:
        lines.append(
            f"Held out, noise of {row['level'] * model.white:.3g}: PSNR {row['restored']:.2f} dB "
            f"(as it is {row['noisy']:.2f}, Wiener filter {row['wiener']:.2f})."
        )
    return "\n".join(lines)
