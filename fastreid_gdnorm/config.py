"""The plugin's keys, added to fast-reid's defaults."""

from fastreid.config import CfgNode

SECTIONS = ("MODEL", "DATASETS", "DATALOADER", "SOLVER", "TEST")  # of fast-reid's that get keys


def remove_gdnorm_config(cfg: CfgNode) -> None:
    """Take all of the plugin's keys out of ``cfg``, so that stock fast-reid knows what is left."""
    added = CfgNode({section: CfgNode() for section in SECTIONS})
    add_gdnorm_config(added)
    for name, value in added.items():
        keys, node = (value, cfg[name]) if name in SECTIONS else ([name], cfg)
        for key in keys:
            del node[key]


def add_gdnorm_config(cfg: CfgNode) -> None:
    """Add the plugin's keys with their defaults to ``cfg``; keys that are there already are left alone."""
    gdnorm = CfgNode()
    # the backbone whose BN layers get branches: any BN backbone of fast-reid's registry
    gdnorm.BACKBONE = "build_resnet_backbone"
    # whether the BN neck of the head gets branches too
    gdnorm.HEADS = True
    # lambda of Eq. 11: how far sampled paths lie from the mean path
    gdnorm.LAMBDA = 0.6
    # what scales the noise of Eq. 11: "variance", as the paper prints it, or "std", the usual reading
    gdnorm.NOISE = "variance"
    # sampled paths followed in a training step beside the domain path; 0 is the paper's ablation "E"
    gdnorm.NUM_PATHS = 1
    # whether the backward pass computes the domain path's activations anew, rather than have them kept: with one
    # sampled path about a quarter less memory, for the time of a forward pass; with full batches (DOMAIN_BATCH) one
    # domain's at a time. Without either nothing is gained
    gdnorm.RECOMPUTE = False
    # path followed in testing: mean, source:K (K from 0), sample:SEED, or ensemble (features averaged over sources)
    gdnorm.TEST_PATH = "mean"
    # what the mean path averages over the branches: "affine", their a and b (Eq. 10), "statistics", gamma, beta, mu and
    # sigma^2, or "path", gamma and beta, with statistics that images of all sources have on the mean path itself
    gdnorm.MEAN_OF = "affine"
    cfg.MODEL.setdefault("GDNORM", gdnorm)

    # what DomainBalancedIdentitySampler makes of SOLVER.IMS_PER_BATCH: "mixed", one batch that the domains share, with
    # triplets across them, or "full", a batch of every domain. Then the domain path takes a domain at a time, so that
    # triplets are within it and a neck without branches is normalised by one domain too; its losses are averaged over
    # the domains, and sampled paths take equal parts of them, IMS_PER_BATCH images in all. An epoch has as many steps
    # as with "mixed", and so K times the images
    cfg.DATALOADER.setdefault("DOMAIN_BATCH", "mixed")

    # names of hooks to train with beside fast-reid's own, run before its evaluation and checkpoints
    cfg.SOLVER.setdefault("HOOKS", ())
    # seed of everything random; a run with the same seed on the same machine repeats itself on CPU, number for
    # number, also if it was resumed in between. -1: a new one each time
    cfg.setdefault("SEED", -1)

    # how tests rank and re-rank: "bounded", a block of queries at a time, with stock's numbers and no compiler, or
    # "stock", by fast-reid's own functions, which hold queries x gallery and, re-ranking, (queries + gallery)^2.
    # TEST.ROC holds all pairs in any case
    cfg.TEST.setdefault("RANKING", "bounded")

    # variants of data sets that papers disagree on, see projects/GDNorm/DATASETS.md.
    # DGCUHK03: "detected" or "labeled" boxes
    cfg.DATASETS.setdefault("CUHK03", CfgNode({"BOXES": "detected"}))
    # DGMSMT17: "V1", or "V2" with masked faces; and whether the validation images are for training
    cfg.DATASETS.setdefault("MSMT17", CfgNode({"VERSION": "V1", "VAL": True}))
