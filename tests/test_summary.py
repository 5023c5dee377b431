from __future__ import annotations

from typing import Any

import pyarrow as pa

from autoencode import Autoencoder
from autoencode.summary import column_rows, left_out, worst_columns


def described(name: str, kind: str = "numeric") -> dict[str, Any]:
    return {"name": name, "kind": kind, "detail": f"{kind}, as {name} is"}


def measured(name: str, measure: str, quality: float | None, baseline: float) -> dict[str, Any]:
    return {"name": name, "measure": measure, "quality": quality, "baseline": baseline}


def test_columns_that_were_not_measured_have_no_figures() -> None:
    rows = column_rows([described("a"), described("b")], [measured("b", "accuracy", 0.8, 0.5)])
    assert rows[0] == {
        **described("a"), "measure": None, "quality": None, "baseline": None, "error_share": None,
    }  # fmt: skip
    assert rows[1]["quality"] == 0.8
    assert rows[1]["error_share"] is None


def test_the_worst_gain_least_over_a_constant_guess() -> None:
    figures = [
        measured("rare", "accuracy", 0.9, 0.9),
        measured("even", "accuracy", 0.8, 0.5),
        measured("number", "explained_variance", 0.7, 0.0),
        measured("always", "accuracy", 1.0, 1.0),
        measured("unseen", "accuracy", None, 0.0),
    ]
    rows = column_rows([described(entry["name"]) for entry in figures], figures)
    rows.append({**rows[0], **described("id", "identifier")})
    shown, more = worst_columns(rows, most=4)
    assert [row["name"] for row in shown] == ["rare", "always", "even", "number"]
    assert more == 1
    # All of them: in the order of the table.
    assert worst_columns(rows, most=5) == (rows[:5], 0)


def test_what_is_left_out_is_named_with_the_reason() -> None:
    rows = [described("a"), described("b", "identifier"), described("c", "constant")]
    assert left_out(rows) == "b (identifier, as b is); c (constant, as c is)"
    many = [described(str(place), "identifier") for place in range(7)]
    assert left_out(many).count("identifier") == 5
    assert left_out(many).endswith("; and 2 more")
    assert left_out(rows[:1]) == ""


def test_a_summary_counts_columns_and_says_what_is_left_out() -> None:
    table = pa.table(
        {
            "id": [f"row {place}" for place in range(60)],
            "color": ["red", "green", "blue", "grey"] * 15,
            "size": [None, *map(float, range(1, 60))],
            "land": ["DE"] * 60,
        }
    )
    words = Autoencoder(2, hidden_layer_sizes=(), random_state=0).fit(table).summary()
    assert words.startswith("4 columns (5 values) -> 2 components, by PCA (no hidden layers)\n")
    assert "left out: id (identifier, near-unique: 60 of 60 values differ); land (constant" in words
