"""Sparse autoencoders in other projects' folders: the same codes on both sides?

Random dictionaries of every kind are written by us and loaded by SAELens, and the other way
round: SAELens, sparsify and dictionary_learning write theirs and we read them. Codes and
reconstructions of random rows are compared: ours in float64 after the formula of
`Dictionary`, theirs in float32 by the project itself. Differences are the largest over rows,
as a share of the largest value on their side (at least 1). A project that is not installed
is skipped. ``estimators`` compares fitted estimators that SAELens loads, and SAELens' own that
become estimators. dictionary_learning's pickles are converted by the very command that
`read_dictionary` names when it refuses one.

``scaled`` are rows for which a common scale and a centre were folded in, ``far`` the same
with a centre a thousand times as large as the rows are wide.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from autoencode.dictionary import Dictionary
from harness import finish, parser, print_table, progress, versions
from sparse_interchange_peers import MAKERS, Sides

PACKAGES = ("sae-lens", "eai-sparsify", "dictionary-learning", "safetensors")
TOLERANCE = 1e-5


def codes(dictionary: Dictionary, rows: Any) -> Any:
    """Return codes in float64, after the formula of `Dictionary`."""
    centred = rows.astype(np.float64) - dictionary.centre
    code = np.maximum(centred @ dictionary.encoder_weight.T + dictionary.encoder_bias, 0)
    if dictionary.kind == "topk":
        last = np.sort(code, axis=1)[:, [-int(dictionary.n_active or 0)]]
        return np.where(code >= last, code, 0)
    threshold = 0 if dictionary.threshold is None else dictionary.threshold
    return np.where(code > threshold, code, 0)


def difference(ours: Any, theirs: Any) -> float:
    """Return the largest difference as a share of the largest value, which counts at least 1."""
    return float(np.abs(ours - theirs).max() / max(1.0, float(np.abs(theirs).max())))


def compared(sides: Sides) -> list[Any]:
    """Return a line of the table: differences, and how many components a row has on."""
    if sides.model is None:
        code = codes(sides.ours, sides.rows)
        row = code @ sides.ours.parts.astype(np.float64) + sides.ours.bias
    else:
        code = sides.model.transform(sides.rows).toarray()
        row = sides.model.reconstruct(sides.rows)
    their_code, their_row = sides.theirs(sides.rows)
    active = float((their_code > 0).sum(axis=1).mean())
    return [
        sides.what,
        sides.ours.kind,
        difference(code, their_code),
        difference(row, their_row),
        active,
    ]


def main() -> int:
    """Compare everything; exit code 1 if a difference is above the tolerance."""
    options = parser(__doc__.splitlines()[0], rounds=1)
    options.add_argument("--projects", nargs="+", choices=MAKERS, default=list(MAKERS))
    options.add_argument("--seed", type=int, default=0)
    arguments = options.parse_args()
    warnings.filterwarnings("ignore")  # the peers' own
    n_rows = 16 if arguments.quick else 512
    result = {}
    with tempfile.TemporaryDirectory() as folder:
        for project in arguments.projects:
            for make in MAKERS[project]:
                progress(f"{project}: {make.__name__}")
                place = Path(folder) / f"{project}-{make.__name__}"
                place.mkdir()
                rng = np.random.default_rng(arguments.seed)
                try:
                    lines = [compared(sides) for sides in make(place, n_rows, rng)]
                except ImportError as error:
                    print(f"\n{project}: not installed ({error})")
                    continue
                columns = ("dictionary", "our kind", "codes", "reconstructions", "active")
                print_table(f"{project}: {make.__name__}", columns, lines)
                result[f"{project}: {make.__name__}"] = lines
    worst = max((max(line[2:4]) for lines in result.values() for line in lines), default=None)
    print(f"\nlargest difference: {worst}; allowed: {TOLERANCE}")
    print(", ".join(f"{name} {version}" for name, version in versions(PACKAGES).items()))
    finish("sparse_interchange", arguments, result)
    return int(worst is None or worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
