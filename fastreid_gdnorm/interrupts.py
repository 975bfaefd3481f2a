"""Ctrl-C ends a command at any moment."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

AGAIN = 5.0  # seconds until a lost interrupt is raised again
SOON = 0.05  # seconds until an interrupt that came during a fork is raised
_handled_here = _is_forking = False


@contextlib.contextmanager
def ending_on_ctrl_c() -> Iterator[None]:
    """Inside this context, Ctrl-C (SIGINT) always raises a KeyboardInterrupt in the main thread.

    Python drops a KeyboardInterrupt that is raised inside one of its own callbacks, such as those of ``os.fork`` while
    a loader starts its workers. Therefore an interrupt waits until the fork is done, and is raised again until it
    leaves this context. An error that it causes becomes a KeyboardInterrupt as well, and Python's message about a
    dropped interrupt is suppressed. Forked processes ignore SIGINT; this process ends them.

    Outside the main thread, or if SIGINT has another handler, this does nothing.
    """
    global _handled_here
    handler = signal.getsignal(signal.SIGINT)
    if handler is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupted = False
    can_repeat = hasattr(signal, "setitimer")  # not on Windows

    def interrupt(*_: Any) -> None:
        nonlocal interrupted
        interrupted = True
        if can_repeat:
            signal.setitimer(signal.ITIMER_REAL, SOON if _is_forking else AGAIN)
        if not _is_forking:
            raise KeyboardInterrupt

    def say_unless_dropped(dropped: Any) -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):
            say_unraisable(dropped)

    say_unraisable, sys.unraisablehook = sys.unraisablehook, say_unless_dropped
    signal.signal(signal.SIGINT, interrupt)
    alarm = signal.signal(signal.SIGALRM, interrupt) if can_repeat else None
    _handled_here = True
    try:
        yield
    except Exception as error:
        if interrupted:
            raise KeyboardInterrupt from error
        raise
    finally:
        _handled_here = False
        if can_repeat:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, alarm)
        signal.signal(signal.SIGINT, handler)
        sys.unraisablehook = say_unraisable


def _set_forking(value: bool) -> None:
    global _is_forking
    _is_forking = value


def _ignore_in_forked_child() -> None:
    _set_forking(False)
    if _handled_here:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


if hasattr(os, "register_at_fork"):  # on the systems that have timers
    os.register_at_fork(
        before=lambda: _set_forking(True),
        after_in_parent=lambda: _set_forking(False),
        after_in_child=_ignore_in_forked_child,
    )
