"""``fastreid calibrate``: from which score on two images are the same person."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ._model import ABOUT_MODELS, add_model, extractor_of

SUMMARY = "find the score from which on two images are called the same person"
DESCRIPTION = (
    "Compare labelled images that the model was not trained on, each with all others, and find the lowest\n"
    "score that no more than a share of the pairs of different people reach. It is written beside the model, with the\n"
    "pairs that it rests on and a figure, and fastreid search uses it from then on.\n\n"
    "LABELLED is a CSV file with the columns path, identity and, better, camera; a folder of names like\n"
    "Market-1501's; or a data set of fast-reid's registry, of which query and gallery are taken. By default it is\n"
    "what the run is tested on. It should look like the cameras that the model is for: a threshold found on one\n"
    "camera is another one's only by luck (projects/GDNorm/README.md).\n\n"
    "The share is of pairs. A search compares a query with every image: among 1,000 images of other people,\n"
    "0.01 means about 10 that are called the same.\n\n" + ABOUT_MODELS
)
EXAMPLES = """\
examples:
  fastreid calibrate --model logs/mine
  fastreid calibrate --model logs/mine DGMarket1501 --false-accept 0.001
  fastreid calibrate --model logs/mine/export/model.onnx labelled.csv
"""


def add_arguments(parser: ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("labelled", nargs="?", default="", metavar="LABELLED", help="a table, a folder or a data set")
    parser.add_argument(
        "--false-accept", type=float, default=0.01, metavar="SHARE", help="of pairs of different people; default: 0.01"
    )


def run(args: Namespace) -> None:
    from ..console import say
    from ..errors import UserError
    from ..inference.extraction import extract
    from ..inference.journal import Journal
    from ..inference.labelled import check_not_trained_on, labelled_images
    from ..inference.thresholds import FIGURE, beside, choose_images, find_threshold, label_pairs, save_threshold
    from ..report.threshold_figure import save_threshold_figure

    records, name = labelled_images(args.labelled, args.model)
    chosen = choose_images(records)
    if not chosen:
        raise UserError(f"{name} has no image of known identity: name a table with a column identity")
    check_not_trained_on(chosen, args.model)
    extractor = extractor_of(args)
    folder, description = beside(args.model), extractor.description
    journal = Journal(folder / "calibrate.journal", description.model)
    extraction = extract(extractor, chosen, journal)
    identities, cameras = ([getattr(record, field) for record in chosen] for field in ("identity", "camera"))
    pairs = label_pairs(extraction.features, identities, cameras, description.metric)
    threshold = find_threshold(pairs, args.false_accept, description, len(chosen), name)
    save_threshold_figure(folder / FIGURE, pairs, threshold)
    save_threshold(folder, threshold)
    journal.remove()
    say(
        f"{name}: {threshold.images} of {len(records)} images, {threshold.identities} people\n"
        f"the same person from {threshold.score:.4f} on ({description.metric})\n"
        f"  false accepts: {threshold.false_accept} of {threshold.different:,} pairs of different people\n"
        f"  true accepts:  {threshold.true_accept} of {threshold.same:,} pairs of one person\n"
        f"among 1,000 images of other people, a search calls about {1000 * threshold.false_accept.value:.1f} the same\n"
        f"written to {folder}: threshold.json, {FIGURE}"
    )
