"""When an image was taken, from the text in the column ``time``."""

from __future__ import annotations

import contextlib
import math
import re
from datetime import datetime, time, timezone
from typing import NamedTuple

from ..errors import UserError

OF_NAMES = re.compile(r"(s\d+_|f)(\d+)")  # in names like Market-1501's and DukeMTMC-reID's


class Moment(NamedTuple):
    """A point in time. Only the numbers of one recording can be compared.

    Args:
        recording: the kind of number, or the sequence of Market-1501 whose frames are counted.
        number: frames or seconds.
    """

    recording: str
    number: float


def moment(text: str) -> Moment:
    """Read a time: a number (a frame, or seconds), an ISO date and time, a time of day, or Market-1501's ``s1_000451``.

    Raises:
        UserError: it is none of them.
    """
    with contextlib.suppress(ValueError):
        if math.isfinite(number := float(text)):
            return Moment("number", number)
    if of_name := OF_NAMES.fullmatch(text):
        return Moment(of_name[1], float(of_name[2]))
    iso = re.sub("Z$", "+00:00", text)  # Python 3.9 and 3.10 read neither Z nor fractions of other than 3 or 6 digits
    iso = re.sub(r"\.(\d{1,6})\d*", lambda found: f".{found[1]:0<6}", iso)
    with contextlib.suppress(ValueError):
        day = time.fromisoformat(iso)
        return Moment("time of day", datetime.combine(datetime(1970, 1, 1), day, timezone.utc).timestamp())
    with contextlib.suppress(ValueError):
        point = datetime.fromisoformat(iso)
        if point.tzinfo:
            return Moment("date and time zone", point.timestamp())
        return Moment("date and time", point.replace(tzinfo=timezone.utc).timestamp())
    raise UserError(
        f"time {text!r} is neither a number nor an ISO time such as 2026-11-29T13:05:07: correct it or leave it empty"
    )
