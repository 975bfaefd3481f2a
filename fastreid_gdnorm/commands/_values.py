"""What the values of arguments may be, as types for argparse, which says in one line what is wrong with one."""

from __future__ import annotations

import contextlib
import math
import re
from argparse import ArgumentTypeError
from typing import Callable


def at_least(lowest: int) -> Callable[[str], int]:
    """Whole numbers from ``lowest`` on."""

    def number(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d+", text) or int(text) < lowest:
            raise ArgumentTypeError(f"is a whole number, {lowest} or more, got {text!r}")
        return int(text)

    return number


def lambdas(text: str) -> tuple[float, ...]:
    """Numbers from 0 on, with commas between them."""
    try:
        numbers = tuple(map(float, text.split(",")))
    except ValueError:
        numbers = (math.nan,)
    if not all(0 <= number < math.inf for number in numbers):
        raise ArgumentTypeError(f"invalid, as it is numbers from 0 on, such as 0.2,0.6,1, got {text!r}")
    return numbers


def share(text: str) -> float:
    """A number between 0 and 1."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) < 1:
            return float(text)
    raise ArgumentTypeError(f"is between 0 and 1, got {text!r}")


def device(text: str) -> str:
    """A device of torch's that models run on."""
    if not re.fullmatch(r"|cpu|cuda(:\d+)?", text):
        raise ArgumentTypeError(f"is cpu, cuda or cuda:N, got {text!r}")
    return text
