"""Distillation into a GDNorm student: the meta-architecture GDNormDistiller."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastreid.config import CfgNode, configurable, get_cfg
from fastreid.modeling.meta_arch import Baseline, build_model
from fastreid.modeling.meta_arch.distiller import Distiller
from fastreid.utils.checkpoint import Checkpointer
from torch import nn

from ..errors import UserError
from .meta_arch import GDNormTraining, is_gdnorm


class DistillerWithTeachers(Distiller):
    """``Distiller`` with the teachers as a constructor argument, like the other parts of a meta-architecture.

    Args:
        teachers: frozen models with a backbone and heads. Training needs at least one.
        stock: the arguments of ``Baseline``.
    """

    @configurable
    def __init__(self, *, teachers: Sequence[nn.Module], **stock: Any) -> None:
        Baseline.__init__(self, **stock)
        self.model_ts = list(teachers)  # a plain list keeps their weights out of this model
        self.ema_enabled = False

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """The constructor's arguments.

        Raises:
            UserError: KD.EMA.ENABLED is set, or a teacher cannot be loaded.
        """
        if cfg.KD.EMA.ENABLED:
            raise UserError("KD.EMA.ENABLED makes a teacher without branches for a student with branches: set it False")
        configs, weights = cfg.KD.MODEL_CONFIG, cfg.KD.MODEL_WEIGHTS
        if len(configs) != len(weights):
            raise UserError(f"KD.MODEL_CONFIG names {len(configs)} teachers, but KD.MODEL_WEIGHTS {len(weights)}")
        teachers = [_teacher(*pair, cfg.MODEL.DEVICE) for pair in zip(configs, weights)]
        return {**super().from_config(cfg), "teachers": teachers}


class GDNormDistiller(GDNormTraining, DistillerWithTeachers):
    """``Distiller`` with a GDNorm student that learns from the teachers along every path.

    A teacher can be stock or have GDNorm; it then teaches along its mean path.
    """


def _teacher(config_file: str, weights: str, device: str) -> nn.Module:
    """A frozen model in training mode, as in stock distillation: heads output logits only in that mode."""
    cfg = get_cfg()
    try:
        cfg.merge_from_file(config_file)
        cfg.MODEL.DEVICE = device
        cfg.MODEL.BACKBONE.PRETRAIN = False
        if not is_gdnorm(cfg):
            cfg.MODEL.META_ARCHITECTURE = "Baseline"
        model: nn.Module = build_model(cfg).requires_grad_(False)
        Checkpointer(model).load(weights)
    except (OSError, KeyError, ValueError, AssertionError) as error:
        raise UserError(f"KD: teacher {config_file} with {weights}: {' '.join(str(error).split())}") from error
    return model
