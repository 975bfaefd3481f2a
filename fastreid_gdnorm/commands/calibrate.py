"""``fastreid calibrate``: from which score on two images are the same person."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ._model import ABOUT_MODELS, add_model, extractor_of
from ._values import share

if TYPE_CHECKING:
    from ..inference.thresholds import OfCameras

SUMMARY = "find the score from which on two images are called the same person"
DESCRIPTION = (
    "Compare labelled images that the model was not trained on, each with all others, and find the lowest\n"
    "score that no more than a share of the pairs of different people reach: of all pairs, of those within a\n"
    "camera and of those across cameras. They are written beside the model, with the pairs that they rest on and a\n"
    "figure, and fastreid search uses the one for each pair from then on. Every path through a model, and every site,\n"
    "has its own.\n\n"
    "LABELLED is a CSV file with the columns path, identity and, better, camera; a folder of names like\n"
    "Market-1501's; or a data set of fast-reid's registry, of which query and gallery are taken. By default it is\n"
    "what the run is tested on. It should look like the cameras that the model is for: a threshold depends on the\n"
    "cameras as well as on the model (projects/GDNorm/README.md). Copies of an image count once.\n\n"
    "The share is of pairs. A search compares a query with every image: among 1,000 images of other people,\n"
    "0.01 means about 10 that are called the same.\n\n" + ABOUT_MODELS
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
        "--false-accept", type=share, default=0.01, metavar="SHARE", help="of pairs of different people; default: 0.01"
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        help="where threshold.json and the figure go; default: the model's folder. fastreid search also looks in the "
        "gallery's folder",
    )
    parser.add_argument("--skip-unreadable", action="store_true", help="leave out and name what cannot be read")


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
            f"{folder} cannot be written to ({error.strerror}): name another folder with --output, best the gallery's, "
            "where fastreid search looks too"
        ) from error
    read_thresholds(folder)
    labelled = labelled_images(args.labelled, args.model)
    name, (records, copies) = labelled.name, distinct(labelled.records)
    check_labels(copies)
    if copies:
        say(f"{len(copies)} images are copies of others and count once, such as {copies[0][0].path}")
    chosen = choose_images(records)
    if not chosen:
        raise UserError(f"{name} has no image of known identity: name a table with a column identity")
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
        f"the same person from {threshold.score:.4f} on ({description.metric})\n"
        f"  false accepts: {threshold.false_accept} of {threshold.different:,} pairs of different people\n"
        f"  true accepts:  {threshold.true_accept} of {threshold.same:,} pairs of one person, not of one camera\n"
        f"{_of_cameras('within a camera', threshold.within)}\n"
        f"{_of_cameras('across cameras', threshold.across)}\n"
        f"among 1,000 images of other people, a search calls about {1000 * threshold.false_accept.value:.1f} the same\n"
        f"written to {folder}: threshold.json, {figure_of(threshold)}"
    )


def _of_cameras(what: str, found: OfCameras | None) -> str:
    if found is None or not found.different + found.same:
        return f"  {what}: no pairs, as cameras are not known"
    shares = [
        f"{100 * share:.2f} % of {n:,} pairs of {people}" if n else f"no pairs of {people}"
        for share, n, people in (
            (found.common_false, found.different, "different people"),
            (found.common_true, found.same, "one person"),
        )
    ]
    common = f"  {what}: {' and '.join(shares)}"
    if found.score is None:
        return f"{common}; too few for a score of their own"
    true_accept = found.true_accept or "not known, of too few people"
    own = f"    their own score is {found.score:.4f}; false accepts {found.false_accept}, true accepts {true_accept}"
    return f"{common}\n{own}"
