from __future__ import annotations

import pytest

from autoencode.commands.progress import Progress, _minutes


def columns(*epochs: tuple[str, int, float]) -> dict[str, list[object]]:
    phases, numbers, seconds = zip(*epochs, strict=True)
    return {"phase": [*phases], "epoch": [*numbers], "seconds": [*seconds]}


NESTED = [("nested", number, 1.0 + number) for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("epochs", "max_time", "expected"),
    [
        (NESTED, None, 7 + 5),  # seven more at a second each, then half as many as ten
        (NESTED, 9.0, 5),
        (NESTED, 2.0, 0),
        ([*NESTED, ("final", 1, 6.0), ("final", 2, 8.0)], None, 3 * 2),
        ([("final", 1, 1.0), ("final", 2, 2.0)], None, 8),
    ],
)
def test_time_left_is_bounded_by_epochs_and_seconds(
    epochs: list[tuple[str, int, float]], max_time: float | None, expected: float
) -> None:
    progress = Progress(quiet=True, max_time=max_time)
    progress.max_epochs = 10
    assert progress._seconds_left(epochs[-1][0], columns(*epochs)) == pytest.approx(expected)


def test_nothing_is_shown_where_nobody_looks(capfd: pytest.CaptureFixture[str]) -> None:
    with Progress(quiet=False, max_time=None) as progress:
        progress.say("here")
    assert not progress.visible
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0:00"), (75, "1:15"), (3600, "1:00:00"), (7384.6, "2:03:05")]
)
def test_minutes(seconds: float, words: str) -> None:
    assert _minutes(seconds) == words


def test_pictures_per_second_are_said_of_pictures_alone() -> None:
    progress = Progress(quiet=True, max_time=None)
    assert progress._speed("nested", columns(*NESTED)) == ""
    progress.n_pictures = 1234
    assert progress._speed("nested", columns(*NESTED)) == ", 1,234 pictures/s"
