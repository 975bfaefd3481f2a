"""``fastreid protocol``: the paper's protocols, from training to the final table."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ._values import at_least

SUMMARY = "run the paper's protocol 1 or 2, from training to table"
DESCRIPTION = """\
Protocol 1: train on all images of Market-1501 (M), DukeMTMC-reID (D), CUHK02
(C2), CUHK03 (C3) and CUHK-SYSU (CS); test on VIPeR, PRID, GRID and i-LIDS, ten
splits each. Protocol 2: train on three of M, D, C3 and MSMT17 (MT); test on
the fourth.

--methods can be
  gdnorm        GDNorm
  recommended   configs/GDNorm-recommended.yml
  branches      branches only
  balanced      like branches, but with plain batch norm
  baseline      the paper's baseline

--variant changes a protocol as later papers do: without-duke for protocol 1;
all-images, or cuhk-sysu in place of Duke, for protocol 2.

Each run is a fastreid train with a config of projects/GDNorm/configs/protocol1
or protocol2. It is safe to interrupt: rerunning the command skips finished
runs and resumes the interrupted one. Writes comparison.md, .csv, .json and
.png, with the paper's numbers beside yours.
"""
EXAMPLES = """\
examples:
  fastreid protocol 1
  fastreid protocol 2 --methods gdnorm,branches,balanced --only 'D+C3+MT->M'
  fastreid protocol 2 --variant cuhk-sysu DATASETS.MSMT17.VERSION V2
  fastreid protocol 2 --only 'D+C3+MT->M' --eval-only --weights logs/mine/model_final.pth
"""


def add_arguments(parser: ArgumentParser) -> None:
    parser.usage = "fastreid protocol {1,2} [options] [KEY VALUE ...]"
    parser.set_defaults(opts=[])
    parser.add_argument("number", type=int, choices=(1, 2), help="the protocol")
    parser.add_argument(
        "--output", metavar="DIR", help="the folder to write to; default: logs/protocolN, or logs/protocolN-VARIANT"
    )
    parser.add_argument(
        "--methods",
        default="gdnorm",
        metavar="A,B",
        help="one or more of the methods above; default: %(default)s",
    )
    parser.add_argument(
        "--variant",
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
    from ..errors import UserError
    from ..paper.protocol import Protocol
    from ..runs.launcher import launch, run_on_main

    if args.weights and not args.eval_only:
        raise UserError("--weights needs --eval-only; to start a training from a checkpoint, use MODEL.WEIGHTS FILE")
    variant = f"-{args.variant}" if args.variant else ""
    protocol = Protocol(args.number, args.output or f"logs/protocol{args.number}{variant}", args.variant, args.opts)
    runs = protocol.choose(args.methods.split(","), args.only)

    def work() -> None:
        if args.eval_only:
            protocol.test(runs, args.weights)
        else:
            protocol.train(runs, args.seed)

    launch(run_on_main, device="cpu", args=(work,))
