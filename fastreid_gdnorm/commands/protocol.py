"""``fastreid protocol``: the paper's protocols from training to table."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ._values import at_least

SUMMARY = "the trainings and tests of the paper's protocol 1 or 2, beside the paper's numbers"
DESCRIPTION = (
    "Protocol 1: train on all images of M, D, C2, C3 and CS, test on VIPeR, PRID, GRID and i-LIDS,\n"
    "ten splits each. Protocol 2: train on three of M, D, C3 and MT, test on the fourth.\n\n"
    "Every run is as by fastreid train with a config of projects/GDNorm/configs/protocol1 or protocol2. Stop at\n"
    "any moment: the same command again keeps what is done and goes on with what is not. Writes comparison.md,\n"
    ".csv, .json and .png."
)
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
    parser.add_argument("number", type=int, choices=(1, 2))
    parser.add_argument("--output", metavar="DIR", help="default: logs/protocolN, or logs/protocolN-VARIANT")
    parser.add_argument(
        "--methods",
        default="gdnorm",
        metavar="A,B",
        help="of gdnorm, recommended (configs/GDNorm-recommended.yml), branches, balanced (a baseline that differs "
        "from GDNorm in the branches alone), baseline (the paper's); default: %(default)s",
    )
    parser.add_argument(
        "--variant", metavar="NAME", help="as later papers do: without-duke (1); all-images, cuhk-sysu for Duke (2)"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="DIRECTION", help="such as 'D+C3+MT->M'; may be repeated"
    )
    parser.add_argument("--eval-only", action="store_true", help="only test: --weights, or the last ones in --output")
    parser.add_argument(
        "--weights",
        action="append",
        default=[],
        metavar="[DIRECTION=]FILE",
        help="with --eval-only, the checkpoint to test; may be repeated",
    )
    parser.add_argument("--seed", type=at_least(-1), default=0, metavar="S", help="default: %(default)s")


def run(args: Namespace) -> None:
    from ..errors import UserError
    from ..paper.protocol import Protocol
    from ..runs.launcher import launch, run_on_main

    if args.weights and not args.eval_only:
        raise UserError("--weights is for --eval-only; a training starts from MODEL.WEIGHTS FILE")
    variant = f"-{args.variant}" if args.variant else ""
    protocol = Protocol(args.number, args.output or f"logs/protocol{args.number}{variant}", args.variant, args.opts)
    runs = protocol.choose(args.methods.split(","), args.only)

    def work() -> None:
        if args.eval_only:
            protocol.test(runs, args.weights)
        else:
            protocol.train(runs, args.seed)

    launch(run_on_main, device="cpu", args=(work,))
