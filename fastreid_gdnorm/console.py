"""What commands print: lines on stdout, and on stderr how far a long command is."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from tqdm import tqdm

LINE_EVERY = 30.0  # seconds between two lines in a log


def say(text: str) -> None:
    """Print a line without breaking progress bars."""
    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()


@contextlib.contextmanager
def progress(what: str, total: int, unit: str = "images") -> Iterator[Callable[[int], None]]:
    """Show on stderr how far a long command is: in a terminal by a bar, in a log by a line every LINE_EVERY seconds.

    Yields:
        A function to call with the number of units done since its last call. Calls with 0 keep the lines coming.
    """
    began = printed = time.monotonic()
    done = 0
    with tqdm(desc=what, total=total, unit=f" {unit}", leave=False, delay=2, disable=None) as bar:

        def advance(count: int) -> None:
            nonlocal done, printed
            done += count
            bar.update(count)
            now = time.monotonic()
            if bar.disable and now - printed >= LINE_EVERY:  # tqdm disables bars outside of a terminal
                printed = now
                passed = tqdm.format_interval(now - began)
                left = tqdm.format_interval((now - began) * (total - done) / done) if done else "?"
                print(
                    f"{what}: {done:,} of {total:,} {unit}, {passed} so far, {left} left", file=sys.stderr, flush=True
                )

        yield advance
