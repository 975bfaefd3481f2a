"""Types for argparse that accept certain values only, and say in one line what is wrong with others."""

from __future__ import annotations

import contextlib
import math
import re
from argparse import ArgumentTypeError
from typing import Callable


def at_least(lowest: int) -> Callable[[str], int]:
    """Whole numbers from ``lowest`` up."""

    def number(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d+", text) or int(text) < lowest:
            raise ArgumentTypeError(f"must be a whole number, {lowest} or more; got {text!r}")
        return int(text)

    return number


def lambdas(text: str) -> tuple[float, ...]:
    """Non-negative numbers, separated by commas."""
    try:
        numbers = tuple(map(float, text.split(",")))
    except ValueError:
        numbers = (math.nan,)
    if not all(0 <= number < math.inf for number in numbers):
        raise ArgumentTypeError(f"must be numbers of 0 or more, separated by commas, such as 0.2,0.6,1; got {text!r}")
    return numbers


def share(text: str) -> float:
    """A number between 0 and 1, exclusive."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) < 1:
            return float(text)
    raise ArgumentTypeError(f"must be between 0 and 1; got {text!r}")


def finite(text: str) -> float:
    """A finite number."""
    with contextlib.suppress(ValueError):
        if math.isfinite(float(text)):
            return float(text)
    raise ArgumentTypeError(f"must be a number; got {text!r}")


def device(text: str) -> str:
    """A device that torch can run a model on, or "" for the default."""
    if not re.fullmatch(r"|cpu|cuda(:\d+)?", text):
        raise ArgumentTypeError(f"must be cpu, cuda or cuda:N; got {text!r}")
    return text
