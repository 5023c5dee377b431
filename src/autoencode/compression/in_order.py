"""Work done by several threads, with results in the order of what was given."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from autoencode.errors import SpecError

__all__ = ["checked_threads", "in_order"]

Given = TypeVar("Given")
Found = TypeVar("Found")


def checked_threads(n_threads: int | str) -> int:
    """Return a number of threads.

    Parameters
    ----------
    n_threads : int or "auto"
        At least 1; "auto" is the number of processors that may be used.

    Raises
    ------
    SpecError
        If it is neither.
    """
    if n_threads == "auto":
        usable = getattr(os, "sched_getaffinity", None)
        return len(usable(0)) if usable is not None else os.cpu_count() or 1
    if not isinstance(n_threads, int) or isinstance(n_threads, bool) or n_threads < 1:
        raise SpecError(f"n_threads is {n_threads!r}; give a whole number from 1, or 'auto'")
    return n_threads


def in_order(
    work: Callable[[Given], Found], given: Iterable[Given], n_threads: int
) -> Iterator[Found]:
    """Yield the results of ``work`` for each thing given.

    Parameters
    ----------
    work : callable
        Must not depend on what was given before.
    given : iterable
        Taken one after the other by the caller's thread, at most one more than there are
        threads ahead of what was yielded: memory stays bounded.
    n_threads : int
        With one, everything happens in the caller's thread.

    Raises
    ------
    Exception
        What ``work`` raises, in its turn: results before it are yielded first.
    """
    if n_threads == 1:
        yield from map(work, given)
        return
    waiting: deque[Future[Found]] = deque()
    with ThreadPoolExecutor(n_threads) as threads:
        try:
            for one in given:
                waiting.append(threads.submit(work, one))
                if len(waiting) > n_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
