"""Which cells are missing, and which are missing together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autoencode.report_parts.markup import breakable, percent, share_bar, shorten, table

__all__ = ["Missingness", "find_missing", "missing_section"]

MOST_PATTERNS = 12
_MOST_BARS = 20
_MOST_COLUMNS = 16


@dataclass(frozen=True)
class Missingness:
    """Which cells of some rows are missing.

    Parameters
    ----------
    n_rows : int
        Rows of the data.
    n_seen : int
        Rows that were looked at.
    columns : tuple of (str, int)
        Name and number of missing cells of each column that has any, the most first.
    patterns : tuple of (tuple of int, int)
        The commonest sets of places in ``columns`` that are missing together, and in how
        many rows; at most 12, the commonest first. Columns without any cell are in none.
    n_patterns : int
        How many different sets there are.
    """

    n_rows: int
    n_seen: int
    columns: tuple[tuple[str, int], ...]
    patterns: tuple[tuple[tuple[int, ...], int], ...]
    n_patterns: int


def find_missing(
    missing: npt.NDArray[np.bool_], names: Sequence[str], n_rows: int
) -> Missingness | None:
    """Count missing cells by column and by pattern.

    Parameters
    ----------
    missing : array of shape (n, d)
        Which cells are missing.
    names : sequence of str
        The columns' names.
    n_rows : int
        How many rows the data has of which these are a sample.

    Returns
    -------
    Missingness or None
        None if nothing is missing.
    """
    counts = missing.sum(axis=0)
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    if not len(order):
        return None
    columns = tuple((str(names[column]), int(counts[column])) for column in order)
    partly = order[counts[order] < len(missing)]
    # Columns without any cell come first among those that have missing ones.
    patterns, n_patterns = _patterns(missing[:, partly], len(order) - len(partly))
    return Missingness(n_rows, len(missing), columns, patterns, n_patterns)


def _patterns(
    missing: npt.NDArray[np.bool_], offset: int
) -> tuple[tuple[tuple[tuple[int, ...], int], ...], int]:
    """Return the commonest patterns, with an offset added to the places, and how many differ."""
    if not missing.shape[1]:
        return (((), len(missing)),), 1
    packed = np.packbits(missing, axis=1)
    keys = np.ascontiguousarray(packed).view(f"V{packed.shape[1]}").ravel()
    _, first, times = np.unique(keys, return_index=True, return_counts=True)
    # Equally common ones in the order in which they appear.
    common = np.lexsort((first, -times))[:MOST_PATTERNS]
    holes = [np.flatnonzero(missing[row]) + offset for row in first[common]]
    pairs = zip(holes, times[common].tolist(), strict=True)
    return tuple((tuple(places.tolist()), count) for places, count in pairs), len(times)


def missing_section(found: Missingness) -> str:
    """Show the share missing by column, and the commonest patterns.

    Parameters
    ----------
    found : Missingness
        What is missing.

    Returns
    -------
    str
        HTML.
    """
    looked = f"the {found.n_rows:,} rows"
    if found.n_seen < found.n_rows:
        looked = f"a sample of {found.n_seen:,} of the {found.n_rows:,} rows"
    columns = "1 column has" if len(found.columns) == 1 else f"{len(found.columns):,} columns have"
    lead = (
        f"<p>Counted over {looked}: {columns} missing cells{_complete(found)}. They are left out "
        f"of every error in this report.{_beside_patterns(found)}</p>"
    )
    bars = f'<div class="card">{_bars(found)}</div>'
    if _are_all_different(found) or not any(holes for holes, _ in found.patterns):
        return f"{lead}{bars}"
    return f'{lead}<div class="pair top">{bars}<div class="card">{_matrix(found)}</div></div>'


def _always(found: Missingness) -> int:
    """Count the columns without any cell."""
    return sum(count == found.n_seen for _, count in found.columns)


def _complete(found: Missingness) -> str:
    complete = next((count for holes, count in found.patterns if not holes), 0)
    if _always(found) or not complete:
        return ""
    return f"; {percent(complete / found.n_seen)} of the rows are complete"


def _beside_patterns(found: Missingness) -> str:
    note = " No two rows miss the same columns." if _are_all_different(found) else ""
    if always := _always(found):
        note += f" Columns without any cell ({always:,}) are left out of the patterns."
    return note


def _are_all_different(found: Missingness) -> bool:
    return found.n_patterns == found.n_seen > 1


def _bars(found: Missingness) -> str:
    shown = found.columns[:_MOST_BARS]
    lines = [
        [
            f'<span class="name">{breakable(name, 60)}</span>',
            f"{count:,}",
            share_bar(count / found.n_seen) + percent(count / found.n_seen),
        ]
        for name, count in shown
    ]
    caption = "Share missing by column, most first"
    if len(shown) < len(found.columns):
        caption += f": {len(shown)} of {len(found.columns):,} columns with missing cells"
    return table(caption, ["column", "missing cells", "share"], lines, style="row meters")


def _matrix(found: Missingness) -> str:
    """Draw one line for each pattern: a square under each column that is missing."""
    used = sorted({place for holes, _ in found.patterns for place in holes})
    shown = used[:_MOST_COLUMNS]
    has_more = len(used) > len(shown)
    lines = []
    for holes, count in found.patterns:
        rest = len(set(holes) - set(shown))
        cells = [_square(is_missing=place in holes) for place in shown]
        cells += [f"{rest}" if rest else ""] if has_more else []
        share = percent(count / found.n_seen)
        lines.append([f'{count:,} <span class="note">{share}</span>', *cells])
    caption = "Columns missing together, the commonest patterns first"
    if len(lines) < found.n_patterns:
        covered = sum(count for _, count in found.patterns) / found.n_seen
        caption += f": {len(lines)} of {found.n_patterns:,}, {percent(covered)} of the rows"
    header = ["rows", *(shorten(found.columns[place][0], 20) for place in shown)]
    header += ["more columns"] if has_more else []
    return table(caption, header, lines, style="holes", turned=True)


def _square(*, is_missing: bool) -> str:
    style, words = ("hole", "missing") if is_missing else ("cell", "present")
    return f'<i class="{style}" role="img" aria-label="{words}"></i>'
