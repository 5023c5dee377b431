"""What a detector found: the report's own sections for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoencode.errors import DataError
from autoencode.report_parts.cards import cards_of
from autoencode.report_parts.data import PageData
from autoencode.report_parts.layout import Figure, axis, layout, line, numbers
from autoencode.report_parts.markup import percent, plot, table, text, value_text

__all__ = ["AnomalyReportData", "anomaly_cards", "anomaly_sections", "check_anomalies"]

_MOST_SHOWN = 50
_BINS = 60
_MOST_POINTS = 400
_ROOM = 0.25


@dataclass(frozen=True, kw_only=True)
class AnomalyReportData(PageData):
    """What a report shows of rows that were judged; also see `PageData`.

    Parameters
    ----------
    scores : array of shape (n,)
        How odd each row is; 0 is usual, higher is odder.
    p_values : array of shape (n,)
        Of the same rows.
    flags : array of shape (n,)
        Which are flagged.
    flagged : sequence of int
        Their numbers, counted from 0, the oddest first.
    reasons : sequence of str
        Of these rows.
    calibration : array of shape (m,)
        Scores of the rows that p-values rest on.
    fdr : float
        The false-discovery rate that was asked for.
    normal_share : float
        Estimated share of normal rows.
    guarantee : str
        What p-values are worth.
    """

    scores: np.ndarray
    p_values: np.ndarray
    flags: np.ndarray
    flagged: Sequence[int]
    reasons: Sequence[str]
    calibration: np.ndarray
    fdr: float
    normal_share: float
    guarantee: str


def check_anomalies(data: AnomalyReportData) -> None:
    """Check that the parts of such a report fit together.

    Raises
    ------
    DataError
        Naming the part that does not.
    """
    shapes = {data.scores.shape, data.p_values.shape, data.flags.shape}
    if len(shapes) != 1 or data.scores.ndim != 1:
        raise DataError("the report's scores, p-values and flags are not of one length")
    if len(data.flagged) != len(data.reasons) or len(data.flagged) != int(data.flags.sum()):
        raise DataError("the report's flagged rows and reasons are not of one length")


def anomaly_cards(data: AnomalyReportData) -> str:
    """Write the cards at the top."""
    count = len(data.flagged)
    expected = data.fdr * count
    return cards_of(
        [
            ("Rows flagged", f"{count:,}", f"of {len(data.scores):,}"),
            (
                "False-discovery rate",
                percent(data.fdr),
                f"asked: at most {value_text(expected, 2)} of these are normal, on average",
            ),
            ("Anomalies, estimated", percent(1 - data.normal_share), "of all rows, at least"),
            ("Calibrated by", f"{len(data.calibration):,}", "rows"),
        ]
    )


def anomaly_sections(
    data: AnomalyReportData,
) -> tuple[dict[str, tuple[str, str, str]], dict[str, Figure]]:
    """Show the flagged rows with reasons, the scores and the p-values.

    Parameters
    ----------
    data : AnomalyReportData
        What was found.

    Returns
    -------
    sections : dict of str to (str, str, str)
        By id: name in the menu, title and content.
    figures : dict of str to dict
        The figures they have room for.
    """
    sections = {
        "flagged": ("Flagged", "Rows that are flagged, and why", _flagged(data)),
        "scores": ("Scores", "How odd rows are", _scores()),
        "p-values": ("P-values", "Are p-values calibrated?", _p_values()),
    }
    return sections, {"scores": _score_figure(data), "p-values": _p_value_figure(data)}


def _flagged(data: AnomalyReportData) -> str:
    lead = f"<p>Guarantee: {text(data.guarantee)}.</p>"
    if not len(data.flagged):
        return f"{lead}<p>No row is flagged at this rate.</p>"
    lines = [
        [f"{number:,}", value_text(float(data.p_values[number]), 2), text(reason)]
        for number, reason in zip(data.flagged, data.reasons, strict=True)
    ][:_MOST_SHOWN]
    caption = f"The {len(lines):,} oddest of {len(data.flagged):,} flagged rows; rows count from 0"
    return lead + table(caption, ["row", "p-value", "what is odd"], lines, style="oddities")


def _scores() -> str:
    words = "Histogram of the scores of these rows and of calibration rows, with the threshold"
    return (
        "<p>0 is a usual row; a unit is the interquartile range of normal rows. Rows beyond the "
        "dashed line are flagged; the last bar has all that are odder still.</p>"
        f'<div class="card">{plot("scores", words, 380)}</div>'
    )


def _p_values() -> str:
    words = "Share of rows whose p-value is at most so small, beside that of normal rows"
    room = f'<div class="card">{plot("p-values", words, 380)}</div>'
    return (
        "<p>P-values of normal rows are spread evenly: their line is the diagonal. Anomalies "
        "lift the line at the left; a line below the diagonal says that these rows are nearer "
        f"to normal than those of the fit.</p>{room}"
    )


def _score_figure(data: AnomalyReportData) -> Figure:
    both = np.concatenate([data.scores, data.calibration])
    low, high = np.quantile(both, (0.0, 0.995)) if len(both) else (0.0, 1.0)
    least = float(data.scores[data.flags].min()) if data.flags.any() else None
    if least is not None:
        # Room beyond the threshold: what is flagged stands to the right of the line.
        high = max(float(high), least + _ROOM * (least - float(low)))
    high = max(float(high), float(low) + 1e-6)
    edges = np.linspace(float(low), high, _BINS + 1)
    middle = (edges[:-1] + edges[1:]) / 2
    traces: list[Figure] = []
    shown = (("calibration rows", data.calibration, "--muted"), ("rows", data.scores, "--accent"))
    for name, values, colour in shown:
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
        traces.append(
            {
                "type": "bar",
                "name": name,
                "x": numbers(middle),
                "y": numbers(counts / max(1, counts.sum())),
                "marker": {"color": colour},
                "hovertemplate": "%{x:.2f}: %{y:.1%}<extra></extra>",
            }
        )
    if least is not None:
        top = max(max(trace["y"]) for trace in traces)
        traces.append(line([least, least], [0, top], "threshold", "--text", dash="dash"))
    both_axes = {"xaxis": axis("score"), "yaxis": axis("share of rows")}
    return {"data": traces, "layout": layout(barmode="overlay", bargap=0.05, **both_axes)}


def _p_value_figure(data: AnomalyReportData) -> Figure:
    ordered = np.sort(data.p_values)
    shares = np.arange(1, len(ordered) + 1) / max(1, len(ordered))
    few = np.unique(np.linspace(0, len(ordered) - 1, min(_MOST_POINTS, len(ordered))).astype(int))
    traces = [
        line(numbers(ordered[few]), numbers(shares[few]), "rows", "--accent"),
        line([0, 1], [0, 1], "normal rows", "--muted", dash="dot"),
    ]
    axes = {"xaxis": axis("p-value", range=[0, 1]), "yaxis": axis("share of rows", range=[0, 1])}
    return {"data": traces, "layout": layout(**axes)}
