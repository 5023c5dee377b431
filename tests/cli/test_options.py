from __future__ import annotations

import pytest

from autoencode.commands.options import parse_columns, parse_components


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (None, None),
        (["zip=categorical"], {"zip": "categorical"}),
        (
            ["x=numeric:transform=none", "y z=count"],
            {"x": "numeric:transform=none", "y z": "count"},
        ),
        (["a=b=binary"], {"a=b": "binary"}),
        (["n=count=numeric:transform=asinh"], {"n=count": "numeric:transform=asinh"}),
        (["zip=categorial"], {"zip": "categorial"}),  # refused later, with a guess
    ],
)
def test_a_columns_name_may_hold_equal_signs(
    texts: list[str] | None, expected: dict[str, str] | None
) -> None:
    assert parse_columns(texts) == expected


@pytest.mark.parametrize(("text", "expected"), [("16", 16), ("0.9", 0.9), ("none", None), ("1", 1)])
def test_lengths_of_codes(text: str, expected: float | None) -> None:
    assert parse_components(text) == expected
