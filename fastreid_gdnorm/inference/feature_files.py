"""Save features to a file with their images' records: .npz for NumPy, .parquet for everything else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..disk import replacing
from ..errors import UserError
from .description import PROPERTY, Description
from .extraction import Extraction
from .records import Record

COLUMNS = Record._fields


def check_output(file: Path, records: Sequence[Record]) -> None:
    """Check before a long extraction that its features can be written to ``file``.

    Raises:
        UserError: ``file`` is a folder or ends in neither .npz nor .parquet, or .parquet is impossible because pyarrow
            is missing or a path is not UTF-8.
    """
    if file.is_dir():
        raise UserError(f"--output {file} is a folder: name a file")
    if file.suffix not in (".npz", ".parquet"):
        raise UserError(f"--output {file} must end in .npz or .parquet")
    if file.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise UserError(f"--output {file} needs pyarrow: pip install pyarrow") from error
        for record in records:
            if any("\udc80" <= letter <= "\udcff" for letter in record.path):  # a byte that is not UTF-8
                raise UserError(f"{record.path!a} is not UTF-8, which .parquet requires: rename it, or write .npz")


def save_features(file: Path, extraction: Extraction, description: Description) -> None:
    """Write all features to ``file``; after an error the file is unchanged.

    Args:
        file: an .npz file gets the arrays ``features`` (N, D) in float32, ``path``, ``camera``, ``time``, ``identity``
            and ``sha256`` (N,), and ``description``, a line of JSON. A .parquet file gets the same as columns, with
            features as fixed-size lists, and the description in its metadata.
    """
    save = _save_npz if file.suffix == ".npz" else _save_parquet
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as part:
        save(part, extraction, description)


def _save_npz(part: Path, extraction: Extraction, description: Description) -> None:
    arrays: dict[str, Any] = {
        name: np.array([getattr(record, name) for record in extraction.records], str) for name in COLUMNS
    }
    arrays["sha256"] = np.array(extraction.digests, str)
    arrays["features"] = extraction.features
    arrays["description"] = np.array(description.to_property())
    with open(part, "wb") as stream:
        np.savez(stream, **arrays)


def _save_parquet(part: Path, extraction: Extraction, description: Description) -> None:
    import pyarrow
    from pyarrow import parquet

    values = pyarrow.array(extraction.features.ravel())
    columns = {name: [getattr(record, name) for record in extraction.records] for name in COLUMNS}
    columns["sha256"] = extraction.digests
    columns["features"] = pyarrow.FixedSizeListArray.from_arrays(values, description.features)
    table = pyarrow.table(columns).replace_schema_metadata({PROPERTY: description.to_property()})
    parquet.write_table(table, part)
