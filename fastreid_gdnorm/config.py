"""The plugin's config keys, added to fast-reid's defaults."""

from fastreid.config import CfgNode

SECTIONS = ("MODEL", "DATASETS", "DATALOADER", "SOLVER", "TEST")  # fast-reid's sections that get keys of the plugin


def remove_gdnorm_config(cfg: CfgNode) -> None:
    """Remove all of the plugin's keys from ``cfg``, so that stock fast-reid accepts it."""
    added = CfgNode({section: CfgNode() for section in SECTIONS})
    add_gdnorm_config(added)
    for name, value in added.items():
        keys, node = (value, cfg[name]) if name in SECTIONS else ([name], cfg)
        for key in keys:
            node.pop(key, None)


def completed(cfg: CfgNode) -> CfgNode:
    """``cfg`` itself if it has all of the plugin's keys, else a copy with defaults for the missing ones.

    Keys are missing if the config was created before the plugin was imported, or if a section was replaced.
    """
    whole = cfg.clone()
    add_gdnorm_config(whole)
    if whole == cfg:
        return cfg
    if cfg.is_frozen():
        whole.freeze()
    return whole


def add_gdnorm_config(cfg: CfgNode) -> None:
    """Add the plugin's keys to ``cfg`` with their defaults; keys that exist keep their values."""
    gdnorm = cfg.MODEL.setdefault("GDNORM", CfgNode())
    # The backbone whose BN layers get branches: any backbone with BN in fast-reid's registry.
    gdnorm.setdefault("BACKBONE", "build_resnet_backbone")
    # Whether the head's BN neck gets branches too.
    gdnorm.setdefault("HEADS", True)
    # Lambda in Eq. 11: how far sampled paths lie from the mean path.
    gdnorm.setdefault("LAMBDA", 0.6)
    # What scales the noise in Eq. 11: "variance", as the paper prints it, or "std", the usual choice. Training by
    # variance can diverge; if the log says so, use "std". The reason: if a channel is nearly constant in one source,
    # its a is in the hundreds there, and the variance of a, whose unit is a^2, is a hundred times M(a). Noise by std is
    # at most lambda sqrt(K - 1) |M(a)| if the branches' gammas have the same sign.
    gdnorm.setdefault("NOISE", "variance")
    # How many sampled paths a training step follows besides the domain path. 0 is the paper's ablation "E".
    gdnorm.setdefault("NUM_PATHS", 1)
    # Whether a training step computes each path's gradients before it follows the next path, so that only one path's
    # activations are in memory at a time. Activation checkpointing needs this, with use_reentrant=False.
    # - The trainer must add up the losses without weights, as fast-reid's trainers do.
    # - Gradients of activations that were kept from the forward pass, and gradients of gradients (create_graph=True),
    #   are errors.
    # - Hooks on modules and activations see the gradient of one path, before the trainer scales it.
    # - A step computes all gradients at once, and the log says why, if a parameter has a hook (register_hook), if
    #   anything but the model's parameters requires a gradient (images, another network), or if the loss scale of mixed
    #   precision is not known.
    gdnorm.setdefault("EARLY_GRADIENTS", True)
    # The path that tests follow:
    #   mean               the mean path
    #   source:N           the branch of source N, counted from 0
    #   sample:SEED        a sampled path; the seed determines which
    #   ensemble           the features of all sources' branches, averaged
    #   weighted           for each image a mixture of the branches, by how close its statistics are to each branch's
    #   weighted:W,W,...   a fixed mixture of the branches, one weight for each source
    #   instance           each image's own statistics, trusted as far as a single image allows
    #   posterior:FILE     statistics that fastreid adapt has estimated from unlabelled images of the target
    gdnorm.setdefault("TEST_PATH", "mean")
    # What the mean path averages over the branches:
    #   affine       a and b (Eq. 10)
    #   statistics   gamma, beta, mu and sigma^2
    #   path         gamma and beta; mu and sigma^2 are measured along the mean path itself, on images of all sources
    gdnorm.setdefault("MEAN_OF", "affine")
    # Whether to train the last source's branch and the classifier alone, and to freeze everything else. Set by
    # fastreid train --add-source NAME --from RUN --new-branch-only.
    gdnorm.setdefault("NEW_BRANCH_ONLY", False)
    if "MODEL.GDNORM.RECOMPUTE" not in cfg.__dict__[CfgNode.DEPRECATED_KEYS]:  # in runs older than EARLY_GRADIENTS
        cfg.register_deprecated_key("MODEL.GDNORM.RECOMPUTE")

    # What SOLVER.IMS_PER_BATCH means to DomainBalancedIdentitySampler:
    #   mixed   One batch, shared by all domains. Triplets can span domains.
    #   full    One batch for every domain. The domain path takes one domain at a time, so triplets stay within a
    #           domain, a neck without branches is normalised by one domain, and losses are averaged over the domains.
    #           Sampled paths take an equal part of every domain's batch, IMS_PER_BATCH images in total. An epoch has as
    #           many steps as with "mixed", and therefore K times the images.
    cfg.DATALOADER.setdefault("DOMAIN_BATCH", "mixed")

    # Whether several processes compute their losses over the images of all processes: triplets across processes, and
    # averages over all images. With syncBN in MODEL.BACKBONE.NORM and MODEL.HEADS.NORM as well, they train the same
    # network as one process. In stock fast-reid, each process computes its losses over its own images.
    cfg.SOLVER.setdefault("GLOBAL_LOSSES", False)
    # Whether training on a CPU keeps freed memory for the next step, which is faster. This needs glibc, and has no
    # effect if an environment variable (MALLOC_..., GLIBC_TUNABLES, LD_PRELOAD) already configures the allocator.
    cfg.SOLVER.setdefault("KEEP_MEMORY", True)
    # Names of additional training hooks. They run before fast-reid's evaluation and checkpoints.
    cfg.SOLVER.setdefault("HOOKS", ())
    # The seed of all random numbers. On a CPU, runs with the same seed on the same machine give the same numbers, even
    # if one of them was interrupted and resumed. -1 means a new seed for every run.
    cfg.setdefault("SEED", -1)

    # How tests rank and re-rank:
    #   bounded   One block of queries at a time, so memory stays bounded; no compiler is needed. If MODEL.DEVICE is a
    #             GPU with room for the features, several blocks are ranked there. Results equal those of "stock" up to
    #             rounding. If there is more than one block, images at nearly the same distance from a query may change
    #             places, which shows only if a network can hardly tell people apart.
    #   stock     fast-reid's functions. They keep all queries x gallery distances in memory, and for re-ranking
    #             (queries + gallery)^2.
    # TEST.ROC keeps all pairs in memory with either.
    cfg.TEST.setdefault("RANKING", "bounded")

    # The user's own tables and folders in DATASETS.NAMES and TESTS; see docs/your-own-data.md.
    own = cfg.DATASETS.setdefault("OWN", CfgNode())
    # The folder that their names are relative to. The first command sets it to its working directory, so that a run
    # finds its data from anywhere. If the data was moved, set it to where it is now.
    own.setdefault("ROOT", "")
    # How to read a folder; "" guesses it from the folder's tree:
    #   market1501               file names like Market-1501's, in its three folders or in this one
    #   identity/camera/image    what the folders at each level are: any columns of a table
    #   a regular expression     with columns as named groups, for the path in the folder without the image's suffix
    own.setdefault("LAYOUT", "")
    # Whether equal identities of several tables, folders or domains are the same person. By default they are not.
    own.setdefault("SAME_IDENTITIES", False)

    # Data sets that papers use in different variants; see projects/GDNorm/DATASETS.md.
    # DGCUHK03: "detected" or "labeled" boxes.
    cfg.DATASETS.setdefault("CUHK03", CfgNode()).setdefault("BOXES", "detected")
    # DGMSMT17: version "V1", or "V2" with masked faces; and whether to train on the validation images too.
    msmt17 = cfg.DATASETS.setdefault("MSMT17", CfgNode())
    msmt17.setdefault("VERSION", "V1")
    msmt17.setdefault("VAL", True)
