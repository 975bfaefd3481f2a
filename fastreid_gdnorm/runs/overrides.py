"""The overrides KEY VALUE KEY VALUE ... of a command line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from ..errors import UserError


def check_overrides(overrides: Sequence[object], keys: Iterable[str]) -> None:
    """Check overrides before they are merged into a config.

    Args:
        overrides: KEY, VALUE, ...
        keys: all keys of the config.

    Raises:
        UserError: a key is unknown, or the last key has no value.
    """
    known = set(keys)
    for key in map(str, overrides[::2]):
        if key not in known:
            raise UserError(f"the overrides KEY VALUE ...: {_reason(key, sorted(known))}")
    if len(overrides) % 2:
        raise UserError(f"the overrides KEY VALUE ...: {overrides[-1]} has no value after it")


def _reason(word: str, known: Sequence[str]) -> str:
    key, equals, value = word.partition("=")
    if word.startswith("-"):
        return f"{word} is a flag: flags must come before the first KEY"
    if equals and key in known:
        return f"{word} has an equals sign: write {key} {value}"
    if "/" in word or word.endswith((".pth", ".yaml", ".yml")):
        option = "MODEL.WEIGHTS" if word.endswith(".pth") else "OUTPUT_DIR"
        return f"{word} is not a KEY; did you mean {option} {word}?"
    near = [word.upper()] if word.upper() in known else difflib.get_close_matches(word, known, n=1, cutoff=0.7)
    return f"Non-existent key: {word}" + (f"; did you mean {near[0]}?" if near else "")
