"""Codes by pursuit in place of the encoder's: how good they are, and making them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from autoencode.architectures.dictionary import DictionaryDecoder
from autoencode.codec import Encoder
from autoencode.dictionary_search import Found
from autoencode.measurement import HeldOut
from autoencode.pursuit import pursue, pursued_codes
from autoencode.size_curves import explained_share
from autoencode.state import State

__all__ = ["pursuing", "refined"]

PIECE = 256
"""Rows of one pursuit."""


def refined(state: State, found: Found, claim: HeldOut) -> State:
    """Return a state whose figures are those of codes by pursuit.

    What the encoder's codes are worth is kept as the fact "encoder".

    Parameters
    ----------
    state : State
        Of the fit.
    found : Found
        Its dictionary.
    claim : HeldOut
        Rows that nothing saw.
    """
    x, size = claim.x.x.double().cpu(), state.n_components
    parts, offset = torch.from_numpy(found.parts), torch.from_numpy(found.offset)
    z = pursued_codes(x - offset, parts, found.most, found.tolerance).dense(size)
    errors = (z @ parts + offset - claim.y.x.double().cpu()).square()
    left, total = float(errors.sum(1).mean()), float(claim.pca[:, 0].mean())
    share = explained_share(np.array([left]), total)
    encoder = {
        "explained_variance": float(state.curve["explained_variance"][-1]),
        "n_active": state.facts["n_active"],
    }
    pursuit = {"tolerance": found.tolerance, "most": found.most}
    facts = found.facts | {"n_active": float((z > 0).sum(1).double().mean())}
    if found.interrupted:
        facts["stop_reason"] = "interrupted"
    return replace(
        state,
        curve=state.curve | {"error": np.array([left / len(offset)]), "explained_variance": share},
        column_errors=errors.mean(0).numpy(),
        facts=state.facts | facts | {"pursuit": pursuit, "encoder": encoder},
        units={
            "frequency": (z > 0).double().mean(0).numpy(),
            "stability": found.stability,
        },
    )


def pursuing(encoder: Encoder, state: State) -> Callable[[Tensor], Tensor]:
    """Return a function from rows in the data's units to codes by pursuit.

    Parameters
    ----------
    encoder : Encoder
        Of the fitted model, whose scales it takes.
    state : State
        Whose parts are pursued.
    """
    decoder = state.networks[state.source(state.n_components)].decoder
    assert isinstance(decoder, DictionaryDecoder)
    parts, offset = decoder.parts.detach().to(encoder.center), decoder.bias.detach()
    gram, limits = parts @ parts.t(), state.facts["pursuit"]

    def codes(x: Tensor) -> Tensor:
        scaled = encoder.scaled(x) - offset
        found = pursue(scaled, parts, limits["most"], limits["tolerance"], gram)
        return found.dense(len(parts)) * encoder.code_scale

    return codes
