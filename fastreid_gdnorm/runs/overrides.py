"""KEY VALUE KEY VALUE ..., by which a command line overrides a config."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from ..errors import UserError


def check_overrides(words: Sequence[object], keys: Iterable[str]) -> None:
    """Say what is wrong with overrides before they are merged.

    Args:
        keys: all that the config has.

    Raises:
        UserError: where a key should be there is none, or the last one has no value.
    """
    known = set(keys)
    for key in map(str, words[::2]):
        if key not in known:
            raise UserError(f"the overrides KEY VALUE ...: {_reason(key, sorted(known))}")
    if len(words) % 2:
        raise UserError(f"the overrides KEY VALUE ...: {words[-1]} has no value after it")


def _reason(word: str, known: Sequence[str]) -> str:
    key, equals, value = word.partition("=")
    if word.startswith("-"):
        return f"{word} is a flag: flags come before the first KEY"
    if equals and key in known:
        return f"{word} is one word: write {key} {value}"
    if "/" in word or word.endswith((".pth", ".yaml", ".yml")):
        what = "MODEL.WEIGHTS" if word.endswith(".pth") else "OUTPUT_DIR"
        return f"{word} is where a KEY should be: write {what} {word} if you mean that"
    near = [word.upper()] if word.upper() in known else difflib.get_close_matches(word, known, n=1, cutoff=0.7)
    return f"Non-existent key: {word}" + (f"; did you mean {near[0]}?" if near else "")
