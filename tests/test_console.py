"""Progress of long commands, in a terminal and in a log."""

import io
import re
import sys

from fastreid_gdnorm import console
from fastreid_gdnorm.console import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_log_gets_a_line_now_and_then(capsys, monkeypatch):
    seconds = iter((0.0, 10.0, 29.0, 31.0, 61.5, 62.0))
    monkeypatch.setattr(console.time, "monotonic", lambda: next(seconds))
    with progress("features", 2000) as advance:
        for count in 200, 0, 800, 0, 1000:
            advance(count)
    assert capsys.readouterr().err == (
        "features: 1,000 of 2,000 images, 00:31 so far, 00:31 left\n"
        "features: 1,000 of 2,000 images, 01:01 so far, 01:01 left\n"
    )


def test_a_line_before_anything_is_done_does_not_guess_the_time_left(capsys, monkeypatch):
    monkeypatch.setattr(console, "LINE_EVERY", 0)
    with progress("adapting", 3, "paths") as advance:
        advance(0)
    assert re.fullmatch(r"adapting: 0 of 3 paths, 00:00 so far, \? left\n", capsys.readouterr().err)


def test_a_terminal_gets_a_bar_and_no_lines(monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setattr(console, "LINE_EVERY", 0)
    bar = console.tqdm
    monkeypatch.setattr(console, "tqdm", lambda **words: bar(**{**words, "delay": 0, "mininterval": 0}))
    monkeypatch.setattr(console.tqdm, "format_interval", bar.format_interval, raising=False)
    with progress("adapting", 3, "paths") as advance:
        advance(1)
    assert "adapting:  33%" in terminal.getvalue() and "1/3" in terminal.getvalue()
    assert "1 of 3" not in terminal.getvalue() and terminal.getvalue().endswith("\r")
