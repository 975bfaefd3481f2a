"""``fastreid protocol``: the paper's protocols, from training to the final table."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ._values import at_least

SUMMARY = "run a protocol of the paper or of later papers, from training to table"
DESCRIPTION = """\
Protocol 1: train on all images of Market-1501 (M), DukeMTMC-reID (D), CUHK02
(C2), CUHK03 (C3) and CUHK-SYSU (CS); test on VIPeR, PRID, GRID and i-LIDS, ten
splits each. Protocol 2: train on three of M, D, C3 and MSMT17 (MT); test on
the fourth. Protocol 3 of later papers: train on all images of CS and two of M,
C3 and MT; test on the third. Protocol pairs: train on one of M, D, C3 and MT;
test on the others.

--methods can be
  gdnorm        GDNorm
  recommended   configs/GDNorm-recommended.yml
  branches      branches only
  balanced      like branches, but with plain batch norm
  baseline      the paper's baseline; the only one for pairs

--variant changes a protocol as later papers do:
  without-duke  protocol 1 without Duke
  all-images    protocol 2, trained on all images of the sources
  cuhk-sysu     protocol 2 with CUHK-SYSU in place of Duke
  256x128       any protocol with images of that size; 1, 2 and 3 as META, ACL
                and CLIP-FGDI run them: no Duke, labelled boxes, MSMT17 V2

Each run is a fastreid train with a config of projects/GDNorm/configs. It is
safe to interrupt: rerunning the command skips finished runs and resumes the
interrupted one. Writes comparison.md, .csv, .json and .png, with published
numbers beside yours. --dry-run prints what would be trained on what.
"""
EXAMPLES = """\
examples:
  fastreid protocol 1
  fastreid protocol 2 --methods gdnorm,branches,balanced --only 'D+C3+MT->M'
  fastreid protocol 3 --variant 256x128 --dry-run
  fastreid protocol 2 --variant cuhk-sysu DATASETS.MSMT17.VERSION V2
  fastreid protocol 2 --only 'D+C3+MT->M' --eval-only --weights logs/mine/model_final.pth
"""
NAMES = ("1", "2", "3", "pairs")


def add_arguments(parser: ArgumentParser) -> None:
    parser.usage = "fastreid protocol {1,2,3,pairs} [options] [KEY VALUE ...]"
    parser.set_defaults(opts=[])
    parser.add_argument("protocol", choices=NAMES, help="the protocol")
    parser.add_argument(
        "--output",
        metavar="DIR",
        help="the folder to write to; default: logs/protocolN or logs/pairs, with -VARIANT if there is one",
    )
    parser.add_argument(
        "--methods",
        default="",
        metavar="A,B",
        help="one or more of the methods above; default: gdnorm, for pairs baseline",
    )
    parser.add_argument(
        "--variant",
        default="",
        metavar="NAME",
        help="a variant of the protocol, see above",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="DIRECTION",
        help="a direction to run, such as 'D+C3+MT->M'; can be repeated; default: all",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print a line for each run: what it would train, on what, and where; needs no data set on disk",
    )
    parser.add_argument(
        "--eval-only", action="store_true", help="only test, with --weights or the last checkpoints in --output"
    )
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="[DIRECTION=]FILE",
        help="with --eval-only: a checkpoint to test; can be repeated",
    )
    parser.add_argument(
        "--seed", type=at_least(-1), default=0, metavar="S", help="the key SEED of every run; default: %(default)s"
    )


def run(args: Namespace) -> None:
    from ..console import say
    from ..errors import UserError
    from ..paper.protocol import Protocol
    from ..paper.variants import protocol_folder
    from ..runs.launcher import launch, run_on_main

    if args.weights and not args.eval_only:
        raise UserError("--weights needs --eval-only; to start a training from a checkpoint, use MODEL.WEIGHTS FILE")
    if args.dry_run and args.eval_only:
        raise UserError("--dry-run shows trainings: leave out --eval-only")
    folder = "-".join(filter(None, (protocol_folder(args.protocol), args.variant)))
    protocol = Protocol(args.protocol, args.output or f"logs/{folder}", args.variant, args.opts)
    runs = protocol.choose(args.methods.split(",") if args.methods else [], args.only)
    if args.dry_run:
        say(protocol.plan(runs, args.seed))
        return

    def work() -> None:
        if args.eval_only:
            protocol.test(runs, args.weights)
        else:
            protocol.train(runs, args.seed)

    launch(run_on_main, device="cpu", args=(work,))
