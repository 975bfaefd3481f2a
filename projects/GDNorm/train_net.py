#!/usr/bin/env python
"""
fast-reid's own tools/train_net.py (Apache-2.0, author: sherlock, sherlockliao01@gmail.com), and one import.
"""

import sys

sys.path.append(".")

import fastreid_gdnorm  # noqa: E402, F401, I001

from fastreid.config import get_cfg  # noqa: E402
from fastreid.engine import DefaultTrainer, default_argument_parser, default_setup, launch  # noqa: E402
from fastreid.utils.checkpoint import Checkpointer  # noqa: E402


def setup(args):
    """
    Create configs and perform basic setups.
    """
    cfg = get_cfg()
    cfg.merge_from_file(args.config_file)
    cfg.merge_from_list(args.opts)
    cfg.freeze()
    default_setup(cfg, args)
    return cfg


def main(args):
    cfg = setup(args)

    if args.eval_only:
        cfg.defrost()
        cfg.MODEL.BACKBONE.PRETRAIN = False
        model = DefaultTrainer.build_model(cfg)

        Checkpointer(model).load(cfg.MODEL.WEIGHTS)  # load trained model

        res = DefaultTrainer.test(cfg, model)
        return res

    trainer = DefaultTrainer(cfg)

    trainer.resume_or_load(resume=args.resume)
    return trainer.train()


if __name__ == "__main__":
    args = default_argument_parser().parse_args()
    print("Command Line Args:", args)
    launch(
        main,
        args.num_gpus,
        num_machines=args.num_machines,
        machine_rank=args.machine_rank,
        dist_url=args.dist_url,
        args=(args,),
    )
