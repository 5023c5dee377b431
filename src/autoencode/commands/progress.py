"""Progress of a fit, as one line on a terminal's standard error."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

if TYPE_CHECKING:
    from autoencode.training import History

__all__ = ["Progress"]

_SECONDS_BETWEEN = 0.1
_NAMES = {
    "nested": "training all sizes",
    "final": "fine-tuning the chosen size",
    "pictures": "training",
}


class Progress:
    """One line that says where a fit is; nothing where nobody would see it.

    Parameters
    ----------
    quiet : bool
        Say nothing even on a terminal.
    max_time : float or None
        Seconds that the fit may take.

    Attributes
    ----------
    max_epochs : int or None
        Of the longest phase, where it is known.
    n_pictures : int or None
        How many pictures there are in an epoch; None if rows are no pictures.
    """

    def __init__(self, *, quiet: bool, max_time: float | None) -> None:
        self._console = Console(stderr=True, highlight=False)
        self.visible = self._console.is_terminal and not quiet
        self.max_time = max_time
        self.max_epochs: int | None = None
        self.n_pictures: int | None = None
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._shown = 0.0

    def __enter__(self) -> Self:
        if self.visible:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.visible:
            self._live.stop()

    def say(self, text: str) -> None:
        """Show a line in place of the last one."""
        if self.visible:
            self._live.update(Text(text, overflow="ellipsis", no_wrap=True), refresh=True)

    def __call__(self, phase: str, history: History) -> None:
        """Show the last epoch: what the estimator calls after each of them."""
        now = time.monotonic()
        if now - self._shown < _SECONDS_BETWEEN:
            return
        self._shown = now
        columns = history.columns
        left = self._seconds_left(phase, columns)
        self.say(
            f"{_NAMES.get(phase, phase)}: epoch {columns['epoch'][-1]}, "
            f"held-out error {columns['held_out'][-1]:.4g}"
            + (" x PCA's" if phase == "nested" else "")
            + self._speed(phase, columns)
            + ("" if left is None else f", at most {_minutes(left)} left")
        )

    def _speed(self, phase: str, columns: dict[str, list[Any]]) -> str:
        """Say how many pictures are trained on in a second, if rows are pictures."""
        if self.n_pictures is None:
            return ""
        seconds = _seconds_per_epoch(phase, columns)
        return f", {self.n_pictures / max(seconds, 1e-9):,.0f} pictures/s"

    def _seconds_left(self, phase: str, columns: dict[str, list[Any]]) -> float | None:
        """Return an upper bound: a fit may end before its time and its epochs do."""
        bounds = []
        spent = columns["seconds"][-1]
        if self.max_time is not None:
            bounds.append(max(0.0, self.max_time - spent))
        if self.max_epochs is not None:
            bounds.append(self._epochs_left(phase, columns) * _seconds_per_epoch(phase, columns))
        return min(bounds, default=None)

    def _epochs_left(self, phase: str, columns: dict[str, list[Any]]) -> int:
        longest = self.max_epochs or 0
        fine_tuning = max(1, longest // 2)
        done: int = columns["epoch"][-1]
        if phase == "nested":
            return longest - done + fine_tuning
        return (fine_tuning if "nested" in columns["phase"] else longest) - done


def _seconds_per_epoch(phase: str, columns: dict[str, list[Any]]) -> float:
    first = columns["phase"].index(phase)
    begun = columns["seconds"][first]
    counted = len(columns["seconds"]) - first - 1
    return float((columns["seconds"][-1] - begun) / counted) if counted else float(begun)


def _minutes(seconds: float) -> str:
    whole = round(seconds)
    hours = f"{whole // 3600}:{whole % 3600 // 60:02}" if whole >= 3600 else f"{whole // 60}"
    return f"{hours}:{whole % 60:02}"
