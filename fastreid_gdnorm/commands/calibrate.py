"""``fastreid calibrate``: the score above which two images count as the same person."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ._model import ABOUT_MODELS, add_model, add_skip_unreadable, extractor_of
from ._values import share

if TYPE_CHECKING:
    from ..inference.thresholds import CameraThreshold

SUMMARY = "find the score above which two images show one person"
DESCRIPTION = (
    """\
Find the score above which two images count as the same person: the lowest
score that at most a given share of the pairs of different people reach. Each
labelled image is compared with every other. Three scores are found: for all
pairs, for pairs within a camera, and for pairs across cameras. They are
written next to the model, with the number of pairs behind them and a figure.
From then on, fastreid search applies the score that fits each pair. Each path
through a model, and each site, has its own scores.

LABELLED is a CSV file with the columns path, identity and preferably camera; a
folder of images named like Market-1501's; or a data set that is registered
with fast-reid, whose query and gallery images are used. By default, the run's
test sets are used. The images must not be among those that the model was
trained on. They should look like those you will search, because a threshold
depends on the cameras as well as on the model (docs/your-own-data.md).
Copies of an image count once.

--false-accept is a share of pairs, and a search compares each query with every
image in the gallery. At 0.01, about 10 of 1,000 images of other people are
called the same.

"""
    + ABOUT_MODELS
)
EXAMPLES = """\
examples:
  fastreid calibrate --model logs/mine
  fastreid calibrate --model logs/mine DGMarket1501 --false-accept 0.001
  fastreid calibrate --model logs/mine/export/model.onnx labelled.csv
  fastreid calibrate --model logs/mine --site logs/mine/site labelled.csv
"""


def add_arguments(parser: ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("labelled", nargs="?", default="", metavar="LABELLED", help="a table, a folder or a data set")
    parser.add_argument(
        "--false-accept",
        type=share,
        default=0.01,
        metavar="SHARE",
        help="the share of pairs of different people that may be called the same; default: %(default)s",
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        help="the folder to write threshold.json and the figure to; default: the model's. fastreid search also looks "
        "in the gallery's folder",
    )
    add_skip_unreadable(parser)


def run(args: Namespace) -> None:
    import numpy as np

    from ..console import say
    from ..disk import check_writable
    from ..errors import UserError
    from ..inference.contents import distinct
    from ..inference.extraction import extract
    from ..inference.journal import Journal
    from ..inference.labelled import check_labels, check_not_trained_on, labelled_images
    from ..inference.thresholds import (
        beside,
        check_enough,
        choose_images,
        figure_of,
        find_threshold,
        label_pairs,
        read_thresholds,
        save_threshold,
    )
    from ..report.threshold_figure import save_threshold_figure

    folder = Path(args.output) if args.output else beside(args.model)
    try:
        check_writable(folder)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written to ({error.strerror}): choose another folder with --output, preferably the "
            "gallery's, where fastreid search also looks"
        ) from error
    read_thresholds(folder)
    labelled = labelled_images(args.labelled, args.model)
    name, (records, copies) = labelled.name, distinct(labelled.records)
    check_labels(copies)
    if copies:
        say(f"{len(copies)} images are copies of others and count once, such as {copies[0][0].path}")
    chosen = choose_images(records)
    if not chosen:
        raise UserError(f"{name} has no image of known identity: pass a table with the column identity")
    check_not_trained_on(chosen, args.model)
    blank = label_pairs(np.zeros((len(chosen), 1), np.float32), *labelled.columns(chosen), "cosine")
    check_enough(blank, args.false_accept, name)
    extractor = extractor_of(args)
    description = extractor.description
    folder.mkdir(parents=True, exist_ok=True)
    journal = Journal(folder / "calibrate.journal", description.model)
    extraction = extract(extractor, chosen, journal, skip_unreadable=args.skip_unreadable)
    pairs = label_pairs(extraction.features, *labelled.columns(extraction.records), description.metric)
    threshold = find_threshold(pairs, args.false_accept, description, len(extraction.records), name)
    save_threshold_figure(folder / figure_of(threshold), pairs.counted(), threshold)
    save_threshold(folder, threshold)
    journal.remove()
    say(
        f"{name}: {threshold.images} of {len(labelled.records)} images, {threshold.identities} people\n"
        f"the same person at {threshold.score:.4f} or above ({description.metric})\n"
        f"  false accepts: {threshold.false_accept} of {threshold.different:,} pairs of different people\n"
        f"  true accepts:  {threshold.true_accept} of {threshold.same:,} pairs of one person, except within a camera\n"
        f"{_camera_lines('within a camera', threshold.within)}\n"
        f"{_camera_lines('across cameras', threshold.across)}\n"
        f"of 1,000 images of other people, a search calls about {1000 * threshold.false_accept.value:.1f} the same\n"
        f"written to {folder}: threshold.json, {figure_of(threshold)}"
    )


def _camera_lines(what: str, found: CameraThreshold | None) -> str:
    if found is None or not found.different + found.same:
        return f"  {what}: no pairs, because cameras are not known"
    shares = [
        f"{100 * share:.2f} % of {n:,} pairs of {people}" if n else f"no pairs of {people}"
        for share, n, people in (
            (found.common_false, found.different, "different people"),
            (found.common_true, found.same, "one person"),
        )
    ]
    common = f"  {what}: {' and '.join(shares)}"
    if found.score is None:
        return f"{common}; too few for a separate score"
    true_accept = found.true_accept or "not known (too few people)"
    own = f"    separate score: {found.score:.4f}; false accepts {found.false_accept}, true accepts {true_accept}"
    return f"{common}\n{own}"
