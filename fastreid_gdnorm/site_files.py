"""The folder that ``fastreid adapt`` writes: names of its files, and its summary, adapt.json."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .disk import digest, write_text
from .errors import UserError
from .own_files import check_free

SUMMARY, OFFSETS = "adapt.json", "offsets.npz"
SITE, FIGURE = "posterior.npz", "weights.png"  # posterior path of the whole site, and a figure of its weights


def read_summary(folder: Path) -> dict[str, Any]:
    """Read adapt.json. It has ``cameras`` if the folder has posterior paths, and ``offsets`` if it has camera offsets.

    Raises:
        UserError: adapt.json is missing or damaged.
    """
    try:
        summary: dict[str, Any] = json.loads((folder / SUMMARY).read_text())
        if not {"cameras", "offsets"} & set(summary):
            raise KeyError("it names neither paths nor offsets")
        return summary
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder} is not a folder of fastreid adapt, or its {SUMMARY} is damaged ({error}): choose another "
            "folder, or run fastreid adapt again"
        ) from error


def has_offsets(place: str | Path) -> bool:
    """Whether a path is a folder with camera offsets."""
    return (Path(place) / SUMMARY).is_file() and "offsets" in read_summary(Path(place))


def files_of(place: str | Path) -> dict[str, Path]:
    """{camera: file} of the posterior paths in a place; the key "" stands for the site as a whole.

    Args:
        place: a posterior path's file, or a folder of ``fastreid adapt``.

    Raises:
        UserError: the folder was not written by ``fastreid adapt``, or has no posterior path.
    """
    place = Path(place)
    if not place.is_dir():
        return {"": place}
    summary = read_summary(place)
    if "cameras" not in summary:
        raise UserError(
            f"{place} has camera offsets but no posterior path: use --site {place}, or run fastreid adapt --by norms"
        )
    try:
        cameras: Mapping[str, Any] = summary["cameras"]
        return {"": place / SITE, **{camera: place / found["file"] for camera, found in cameras.items()}}
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{place / SUMMARY} is damaged ({error}): run fastreid adapt again") from error


def written_files(folder: Path) -> dict[str, str]:
    """{name: SHA-256} of the files that ``fastreid adapt`` wrote into a folder, by its adapt.json; {} without one.

    A digest that an earlier version did not record is "".
    """
    try:
        summary = read_summary(folder)
        paths = [found["file"] for found in summary.get("cameras", {}).values()]
        names = [SUMMARY, *([SITE, FIGURE, *paths] if "cameras" in summary else [])]
        listed = {**dict.fromkeys(names, ""), **summary.get("files", {})}
        return {name: sha256 for name, sha256 in listed.items() if Path(name).name == name}
    except (UserError, KeyError, TypeError, AttributeError):
        return {}


def write_summary(folder: Path, summary: Mapping[str, Any]) -> None:
    """Write adapt.json, including the digests of all other files in ``folder``."""
    written = {file.name: digest(file) for file in sorted(folder.iterdir()) if file.name != SUMMARY}
    write_text(folder / SUMMARY, json.dumps({**summary, "files": written}, indent=2) + "\n")


def check_output(folder: Path, names: Iterable[str] = ()) -> None:
    """Check that an adaptation can write SUMMARY and ``names`` to ``folder`` without overwriting the user's files.

    Raises:
        UserError: it cannot.
    """
    check_free(folder, [SUMMARY, *names], written_files(folder), "fastreid adapt")
