"""Lets stock fastreid 1.4.0 import and run on today's Python, torch and NumPy, on CPU and CUDA, without forking it.

A patch that changes what fastreid does looks for its defect first, so a patched fork or a later release is left alone;
one that only adds (a seed, a clear error) goes around whatever is there. What is patched:

=====================  ======================================================================================
imports                ``collections.Mapping`` (fast-reid PRs 713, 747), ``torch._six`` (PR 692)
configs                ``_BASE_`` and the file itself may be URLs: a run depends on what a server sends
device                 the default ``MODEL.DEVICE`` is CUDA also where there is none (issues 97, 485, 684)
loader                 ``DataLoaderX`` needs CUDA (issues 97, 485, 684) and hangs after an unreadable image
data sets              ``FASTREID_DATASETS`` is read only once; an error does not say where a data set was sought
optimizer              today's ``zero_grad`` cuts the flat buffers off: nothing is trained any more
trainer                no seed (issues 384, 439, 750); AMP without CUDA fails in mid-run
images                 ``preprocess_image`` normalises the batch in place: twice, if the model is called twice
half precision         distances of features of norm 256 overflow, and a clamp hides it; a loss that overflows ends the
                       run, though GradScaler is there to skip the step
checkpoints            written straight over the last good one; loaded with the code that they may hold
ranking                ``make`` with any ``python3``, and exit if it fails (issue 387); ``np.bool``; an error where
                       the gallery has fewer than 50 images; re-ranking needs CUDA
events                 the last test's results do not reach ``metrics.json``; a division by zero in a resumed run
                       of two iterations
workers                processes that are spawned, not forked, import ``fastreid.data`` unpatched
launch                 the processes of several GPUs or machines import all of it unpatched, and assert CUDA
RegNet, EffNet         read their YAML relative to the working directory
pretrained weights     loaded with the code that they may hold; no hash is checked, and what is left of a broken
                       download is loaded for ever; ResNet's own are tar archives, which torch >= 2.6 refuses
=====================  ======================================================================================
"""

import collections
import collections.abc
import contextlib
import importlib.util
import sys
import types

from . import checkpoints, config, data, evaluation, launch, models, precision, pretrained, training

PATCHES = (
    config.patch_config,
    data.patch_device,
    data.patch_loader,
    data.patch_prefetch,
    data.patch_images,
    data.patch_workers,
    launch.patch_launch,
    data.patch_data_sets,
    training.patch_optimizer,
    training.patch_trainer,
    training.patch_preprocessing,
    training.patch_events,
    precision.patch_distances,
    precision.patch_amp,
    checkpoints.patch_checkpoints,
    evaluation.patch_ranking,
    models.patch_regnet,
    pretrained.patch_pretrained,
)


def apply_patches():
    """Import fastreid and apply every patch to it, once.

    Raises:
        ImportError: fastreid is not installed.
    """
    if importlib.util.find_spec("fastreid") is None:
        raise ImportError("fastreid_gdnorm needs fast-reid: pip install --no-deps fastreid==1.4.0")
    with _removed_names():
        import fastreid.engine  # noqa: F401  all of the toolbox
    for part in PATCHES:
        part()


@contextlib.contextmanager
def _removed_names():
    """``collections.Mapping`` and ``torch._six``, for the time of the import alone."""
    mapping_is_gone = not hasattr(collections, "Mapping")
    if mapping_is_gone:
        collections.Mapping = collections.abc.Mapping
    sys.modules["torch._six"] = types.ModuleType("torch._six")
    sys.modules["torch._six"].string_classes = (str, bytes)
    try:
        yield
    finally:
        if mapping_is_gone:
            del collections.Mapping
        del sys.modules["torch._six"]
