"""Which columns of a table become numbers, and which are left out or carried along."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence

from autoencode.data.finite import drop_options, quoted_list
from autoencode.errors import DataError

__all__ = ["require_known", "require_unique", "select_columns"]


def require_unique(names: Sequence[str]) -> None:
    """Refuse a table in which two columns have the same name.

    Parameters
    ----------
    names : sequence of str
        All column names of the table.

    Raises
    ------
    DataError
        Naming the first one that is there more than once.
    """
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        raise DataError(f"column name {name!r} appears {count} times; rename the columns")


def require_known(names: Sequence[str], asked: Sequence[str]) -> None:
    """Refuse to drop or keep columns that are not there, or one of them both ways.

    Parameters
    ----------
    names : sequence of str
        All column names of the table.
    asked : sequence of str
        The names to drop or keep.

    Raises
    ------
    DataError
        Naming the first unknown column, similar ones and those there are.
    """
    known = set(names)
    for name in asked:
        if name in known:
            continue
        similar = difflib.get_close_matches(name, names, n=3)
        guess = f" (did you mean {' or '.join(map(repr, similar))}?)" if similar else ""
        raise DataError(f"there is no column {name!r}{guess}; the columns are {quoted_list(names)}")


def select_columns(
    names: Sequence[str],
    *,
    drop: Sequence[str] = (),
    keep: Sequence[str] = (),
    expected_names: Sequence[str] | None = None,
) -> list[str]:
    """Choose the columns that become numbers.

    Parameters
    ----------
    names : sequence of str
        All column names of the table.
    drop : sequence of str
        Columns to leave out.
    keep : sequence of str
        Columns carried along; not among the numbers unless ``expected_names`` has them.
    expected_names : sequence of str, optional
        The columns that a model was fitted with: exactly these, in this order.

    Returns
    -------
    list of str
        Names in the table's order, or in the expected one.

    Raises
    ------
    DataError
        If names are repeated, unknown, missing or unexpected, or if none is left.
    """
    require_unique(names)
    require_known(names, [*drop, *keep])
    for name in drop:
        if name in keep:
            raise DataError(f"column {name!r} is both dropped and kept; choose one")
    left_out = {*drop, *keep}
    if expected_names is not None:
        left_out -= set(keep) & set(expected_names)
    chosen = [name for name in names if name not in left_out]
    if expected_names is not None:
        _require_expected(chosen, expected_names)
        return list(expected_names)
    if not chosen:
        raise DataError("no column is left: every one is dropped or kept")
    return chosen


def _require_expected(chosen: Sequence[str], expected_names: Sequence[str]) -> None:
    there, wanted = set(chosen), set(expected_names)
    missing = [name for name in expected_names if name not in there]
    if missing:
        raise DataError(
            f"{_columns(missing)} that the model was fitted with {_are(missing)} missing; "
            f"the data has {quoted_list(chosen) or 'none of them'}"
        )
    unexpected = [name for name in chosen if name not in wanted]
    if unexpected:
        raise DataError(
            f"the model was fitted without {_columns(unexpected)}; leave "
            f"{'it' if len(unexpected) == 1 else 'them'} out with {drop_options(unexpected)}, "
            "or carry along with --keep"
        )


def _columns(names: Sequence[str]) -> str:
    return f"column{'' if len(names) == 1 else 's'} {quoted_list(names)}"


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
