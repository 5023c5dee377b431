"""Figures of what a detector found."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from autoencode.report import write_report
from autoencode.report_parts.anomalies import AnomalyReportData, anomaly_sections


def shown(scores: np.ndarray, flags: np.ndarray) -> AnomalyReportData:
    return AnomalyReportData(
        title="rows",
        sentence="",
        facts={},
        history={},
        loading="",
        scores=scores,
        p_values=np.where(flags, 0.001, 0.5),
        flags=flags,
        flagged=np.flatnonzero(flags).tolist(),
        reasons=[""] * int(flags.sum()),
        calibration=np.linspace(-2, 2, 500),
        fdr=0.1,
        normal_share=1.0,
        guarantee="",
    )


def test_flagged_rows_stand_beyond_the_threshold() -> None:
    """One flagged row among many is no less than the 99.5% quantile of all."""
    scores = np.append(np.linspace(-2, 2, 999), 30.0)
    figure = anomaly_sections(shown(scores, scores > 10))[1]["scores"]
    bars = [trace for trace in figure["data"] if trace["type"] == "bar"]
    (line,) = (trace for trace in figure["data"] if trace["type"] != "bar")
    threshold = line["x"][0]
    assert threshold == 30.0
    width = bars[1]["x"][1] - bars[1]["x"][0]
    filled = [x for x, y in zip(bars[1]["x"], bars[1]["y"], strict=True) if y > 0]
    assert abs(max(filled) - threshold) <= width / 2
    assert bars[1]["x"][-1] > threshold + width
    assert sum(bars[1]["y"]) == 1.0


def test_without_flagged_rows_there_is_no_threshold() -> None:
    scores = np.linspace(-2, 2, 100)
    figure = anomaly_sections(shown(scores, scores > 10))[1]["scores"]
    assert [trace["type"] for trace in figure["data"]] == ["bar", "bar"]


def test_a_page_of_what_was_not_saved_still_draws_its_figures(tmp_path: Path) -> None:
    """Its script does not stop at the button that is not there."""
    scores = np.linspace(-2, 2, 100)
    write_report(tmp_path / "r.html", shown(scores, scores > 1))
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert 'id="copy"' not in page
    (body,) = re.findall(r"function offerCopy\(\) \{(.*?)button\.hidden", page, flags=re.DOTALL)
    assert "if (!button) return;" in body
