"""What the plugin adds to fast-reid where fast-reid has no registry, one file for each place.

``registration.py`` first applies ``patches/`` and then connects these, so the plugin's method is the outer one and
calls the repaired method. Each package wraps a method at most once, so the order within a package does not matter.
Both packages wrap these four:

``CfgNode.load_yaml_with_base``
    ``base_configs`` finds a ``_BASE_`` beside the config. ``config_urls`` in patches/ then refuses URLs.
``DefaultTrainer.__init__``
    ``trainer`` completes the config, sets the allocator, checks the config and seeds random numbers. The repaired
    method follows: ``training`` in patches/ refuses AMP without CUDA and makes OUTPUT_DIR, then stock runs. Last,
    ``trainer`` adds to the checkpoint and warns of keys that are ignored.
``AMPTrainer.run_step``
    ``trainer`` tells the model the loss scale. ``precision`` in patches/ then runs stock, and restores the running
    statistics if GradScaler skips the step.
``ReidEvaluator._compile_dependencies``
    ``bounded_ranking`` skips it if nothing needs to be compiled. Otherwise ``evaluation`` in patches/ runs stock, and
    reloads the modules that were imported before they were compiled.
"""

from __future__ import annotations

from . import (
    base_configs,
    bounded_ranking,
    checkpointer,
    data_set_names,
    hooks,
    launch,
    loaders,
    losses,
    shipped_weights,
    testing,
    trainer,
    workers,
)

SEAMS = (
    base_configs,
    shipped_weights,
    data_set_names,
    launch,
    losses,
    loaders,
    workers,
    trainer,
    hooks,
    checkpointer,
    testing,
    bounded_ranking,
)


def connect() -> None:
    """Connect all of these. Call it once."""
    for seam in SEAMS:
        seam.connect()
