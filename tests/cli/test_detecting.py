"""``autoencode detect``: rows in, the same rows with what was found of each out."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., Any]


def write(path: Path, n: int, seed: int, *further: str) -> None:
    rng = np.random.default_rng(seed)
    shop = np.array(["food", "fuel"])[rng.integers(2, size=n)]
    amount = rng.lognormal(4, 0.3, n) * np.where(shop == "fuel", 3, 1)
    lines = [f"r{i},{amount[i]:.2f},{shop[i]},{rng.poisson(3)}" for i in range(n)]
    path.write_text("\n".join(["id,amount,shop,items", *lines, *further]) + "\n", "utf-8")


def records(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def shops(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Normal rows, rows to be judged, and a detector that was fitted to the first."""
    folder = tmp_path_factory.mktemp("shops")
    write(folder / "normal.csv", 120, 0)
    write(folder / "new.csv", 20, 1, "q1,9400,food,3", "q2,60,casino,2", "q3,60,,")
    done = run(
        *("detect", "new.csv", "--normal", "normal.csv", "--keep", "id", "--fdr", "0.2"),
        *("--save", "detector", "-o", "judged.csv", "--json", "--max-epochs", "2"),
        *("--report", "kept.html"),
        folder=folder,
    )
    assert done.returncode == 0, done.stderr
    (folder / "said.json").write_text(done.stdout, "utf-8")
    return folder


def test_rows_are_written_with_what_was_found(shops: Path) -> None:
    given, found = records(shops / "new.csv"), records(shops / "judged.csv")
    assert [*found[0]] == ["id", "amount", "shop", "items", "anomaly", "p_value", "reason"]
    assert [row["id"] for row in found] == [row["id"] for row in given]
    odd = [row for row in found if row["anomaly"] == "true"]
    assert {"q1", "q2"} <= {row["id"] for row in odd}
    assert all(bool(row["reason"]) == (row["anomaly"] == "true") for row in found)
    reasons = {row["id"]: row["reason"] for row in found}
    assert reasons["q1"].startswith("amount 9400; expected ")
    assert reasons["q2"].startswith("shop casino; expected ")
    said = json.loads((shops / "said.json").read_text("utf-8"))
    assert said["rows"] == 23
    assert said["flagged"] == len(odd)
    assert said["calibration_rows"] == 120
    assert said["guarantee"].startswith("empirical")


def test_a_saved_detector_judges_alike(run: Run, shops: Path) -> None:
    done = run(
        *("detect", "detector", "new.csv", "--keep", "id", "--fdr", "0.2", "--explain"),
        *("-o", "again.csv", "--report", "report.html"),
        folder=shops,
    )
    assert done.returncode == 0, done.stderr
    first, again = records(shops / "judged.csv"), records(shops / "again.csv")
    assert [row["p_value"] for row in again] == [row["p_value"] for row in first]
    assert all(row["reason"] for row in again)
    page = (shops / "report.html").read_text("utf-8")
    for text in ("Rows that are flagged, and why", "amount 9400; expected", "empirical"):
        assert text in page


def test_a_detector_can_be_fitted_by_itself(run: Run, shops: Path) -> None:
    given = ("fit", "normal.csv", "--kind", "anomaly", "--normal", "--keep", "id")
    done = run(*given, "--max-epochs", "2", "-o", "fitted", "--json", folder=shops)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["rows"], said["calibration_rows"]) == (120, 120)
    assert said["guarantee"].startswith("empirical; ")
    done = run(
        *("detect", "fitted", "new.csv", "--keep", "id", "--fdr", "0.2", "-o", "by_fitted.csv"),
        folder=shops,
    )
    assert done.returncode == 0, done.stderr
    found, known = records(shops / "by_fitted.csv"), records(shops / "judged.csv")
    assert [row["p_value"] for row in found] == [row["p_value"] for row in known]


def test_a_report_tells_how_to_load_what_was_kept_alone(run: Run, shops: Path) -> None:
    done = run(
        *("detect", "new.csv", "--keep", "id", "-o", "alone.csv", "--report", "alone.html"),
        folder=shops,
    )
    assert done.returncode == 0, done.stderr
    assert "guarantee: none; the rows" in " ".join(done.stderr.split())
    assert "autoencode.load" not in (shops / "alone.html").read_text("utf-8")
    assert "autoencode.load(&#x27;detector&#x27;)" in (shops / "kept.html").read_text("utf-8")


REFUSED = [
    (["detect"], 2, "name the rows"),
    (["detect", "detector", "new.csv", "--save", "x"], 2, "leave out either"),
    (["detect", "new.csv", "--split"], 2, "need --normal"),
    (["detect", "new.csv", "--json"], 2, "--json needs -o FILE"),
    (["detect", "new.csv", "-o", "x.csv", "--save", "x.csv"], 1, "hold two things"),
    (["detect", "judged.csv", "-o", "x.csv"], 1, "has a column 'anomaly' already"),
    (["detect", "new.csv", "--fdr", "2"], 2, "fdr=2.0 should lie between 0 and 1"),
    (["fit", "new.csv", "--kind", "anomaly", "--noise", "swap", "-o", "x"], 2, "leave it out"),
    (["fit", "new.csv", "--kind", "anomaly", "--report", "x", "-o", "x"], 2, "detect MODEL DATA"),
    (["fit", "new.csv", "--kind", "anomaly", "--split", "-o", "x"], 2, "--split needs --normal"),
    (["fit", "new.csv", "--normal", "-o", "x"], 2, "--normal is for --kind anomaly"),
    (["encode", "detector", "new.csv", "--keep", "id"], 1, "finds anomalies and nothing else"),
    (["export", "detector", "-o", "x.onnx"], 1, "finds anomalies and nothing else"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_does_nothing_or_cannot_be_done_is_refused(
    run: Run, shops: Path, arguments: list[str], code: int, message: str
) -> None:
    done = run(*arguments, folder=shops)
    assert done.returncode == code
    assert message in " ".join(done.stderr.split())


def test_inspect_tells_what_a_detector_is(run: Run, shops: Path) -> None:
    done = run("inspect", "detector", "--json", folder=shops)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["estimator"] == "AnomalyDetector"
    assert found["calibration"] == "cross"
    assert found["rows"] == found["calibration_rows"] == 120
