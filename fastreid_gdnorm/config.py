"""The plugin's keys, added to fast-reid's defaults."""

from fastreid.config import CfgNode

SECTIONS = ("MODEL", "DATASETS", "DATALOADER", "SOLVER", "TEST")  # fast-reid's own sections that get keys


def remove_gdnorm_config(cfg: CfgNode) -> None:
    """Take all of the plugin's keys out of ``cfg``, so that stock fast-reid knows what is left."""
    added = CfgNode({section: CfgNode() for section in SECTIONS})
    add_gdnorm_config(added)
    for name, value in added.items():
        keys, node = (value, cfg[name]) if name in SECTIONS else ([name], cfg)
        for key in keys:
            node.pop(key, None)


def completed(cfg: CfgNode) -> CfgNode:
    """``cfg`` if it has all of the plugin's keys, else a copy with the defaults of those that it lacks.

    It lacks them if it was made before the plugin was imported, or if a section of it was replaced.
    """
    whole = cfg.clone()
    add_gdnorm_config(whole)
    if whole == cfg:
        return cfg
    if cfg.is_frozen():
        whole.freeze()
    return whole


def add_gdnorm_config(cfg: CfgNode) -> None:
    """Add the plugin's keys with their defaults to ``cfg``; keys that are there already are left alone."""
    gdnorm = cfg.MODEL.setdefault("GDNORM", CfgNode())
    # The backbone whose BN layers get branches: any BN backbone in fast-reid's registry.
    gdnorm.setdefault("BACKBONE", "build_resnet_backbone")
    # Whether the BN neck of the head gets branches too.
    gdnorm.setdefault("HEADS", True)
    # Lambda of Eq. 11: how far sampled paths lie from the mean path.
    gdnorm.setdefault("LAMBDA", 0.6)
    # What scales the noise of Eq. 11: "variance", as the paper prints it, or "std", the usual reading. Where a channel
    # is silent in one source, a is in the hundreds there, and noise by variance, which has the unit of a^2, a hundred
    # times M(a). Training can then come apart, and the log says so. Noise by std is at most lambda sqrt(K - 1) |M(a)|
    # where the branches' gammas have one sign.
    gdnorm.setdefault("NOISE", "variance")
    # Number of sampled paths that a training step follows besides the domain path; 0 is the paper's ablation "E".
    gdnorm.setdefault("NUM_PATHS", 1)
    # Whether a training step takes each path's gradients before it follows the next path, so that only one path's
    # activations are in memory. Activation checkpointing needs it, with use_reentrant=False. The losses must then be
    # added up without weights, as fast-reid's trainers do, and gradients of activations that were kept from the forward
    # pass, or of gradients (create_graph=True), are errors. Hooks on modules and activations see each path's gradient
    # before the trainer's own factor. Where a parameter has a hook (register_hook), something besides the model's
    # parameters requires a gradient (images, another network), or half precision's scale is not known, the step takes
    # its gradients all at once, and the log says so.
    gdnorm.setdefault("EARLY_GRADIENTS", True)
    # The path to test along: mean, source:K (K from 0), sample:SEED, ensemble (features averaged over the sources),
    # weighted (each image by the branches whose statistics are near its own), weighted:W,W,... (a weight for each
    # source), instance (each image by its own statistics, as far as one image counts), or posterior:FILE (made by
    # fastreid adapt from unlabelled images of the target).
    gdnorm.setdefault("TEST_PATH", "mean")
    # What the mean path averages over the branches. "affine": their a and b (Eq. 10). "statistics": gamma, beta, mu and
    # sigma^2. "path": gamma and beta, with the statistics that images of all sources have on the mean path itself.
    gdnorm.setdefault("MEAN_OF", "affine")
    # Whether only the last source's branch and the classifier are trained, and all else stays as it was loaded: what
    # fastreid train --add-source NAME --from RUN --new-branch-only sets.
    gdnorm.setdefault("NEW_BRANCH_ONLY", False)
    if "MODEL.GDNORM.RECOMPUTE" not in cfg.__dict__[CfgNode.DEPRECATED_KEYS]:  # of runs from before EARLY_GRADIENTS
        cfg.register_deprecated_key("MODEL.GDNORM.RECOMPUTE")

    # How DomainBalancedIdentitySampler reads SOLVER.IMS_PER_BATCH. "mixed": one batch that the domains share, with
    # triplets across domains. "full": a batch of every domain. The domain path then takes one domain at a time, so
    # triplets stay within a domain, and a neck without branches is also normalised by one domain. The domain path's
    # losses are averaged over the domains. Sampled paths take equal parts of the domains' batches, IMS_PER_BATCH images
    # in all. An epoch has as many steps as with "mixed", and so K times the images.
    cfg.DATALOADER.setdefault("DOMAIN_BATCH", "mixed")

    # Whether several processes compute their losses over the batches of all, as one process does over its own: triplets
    # across processes, and an average over all images. With MODEL.BACKBONE.NORM and MODEL.HEADS.NORM syncBN, they then
    # train the network that one process trains. Stock fast-reid's losses are of each process's images.
    cfg.SOLVER.setdefault("GLOBAL_LOSSES", False)
    # Whether training on the CPU keeps the memory of freed tensors for the next step, which is faster. It does where
    # the C library is glibc and no environment variable (MALLOC_..., GLIBC_TUNABLES, LD_PRELOAD) sets its allocator.
    cfg.SOLVER.setdefault("KEEP_MEMORY", True)
    # Names of hooks to train with besides fast-reid's own. They run before its evaluation and its checkpoints.
    cfg.SOLVER.setdefault("HOOKS", ())
    # The seed of everything random. On CPU, runs with the same seed on the same machine have the same numbers, even if
    # one was stopped and resumed. -1: a new seed each time.
    cfg.setdefault("SEED", -1)

    # How tests rank and re-rank. "bounded": one block of queries at a time, without a compiler. Its results equal
    # stock's to rounding. Where the distances do not fit into one block, images that are equally far from a query but
    # for rounding may come in another order than stock's; that shows only in a network that tells hardly anyone apart.
    # "stock": fast-reid's own functions, which keep queries x gallery values in memory, and for re-ranking
    # (queries + gallery)^2. TEST.ROC keeps all pairs in memory in any case.
    cfg.TEST.setdefault("RANKING", "bounded")

    # Variants of data sets on which papers disagree; see projects/GDNorm/DATASETS.md.
    # DGCUHK03: "detected" or "labeled" boxes.
    cfg.DATASETS.setdefault("CUHK03", CfgNode()).setdefault("BOXES", "detected")
    # DGMSMT17: "V1", or "V2" with masked faces; and whether the validation images are used for training.
    msmt17 = cfg.DATASETS.setdefault("MSMT17", CfgNode())
    msmt17.setdefault("VERSION", "V1")
    msmt17.setdefault("VAL", True)
