"""Networks for three domains, and batches of them."""

import pytest
import torch
from fastreid.modeling.meta_arch import build_model

K = 3
NEAR = 1e-9  # relative tolerance between two ways to compute a number in double precision


@pytest.fixture
def model(tiny):
    """A function (*overrides) -> a toy GDNorm network in double precision whose branches differ."""

    def build(*overrides):
        torch.manual_seed(0)
        model = build_model(tiny("gdnorm", "MODEL.HEADS.NUM_CLASSES", "6", *overrides))
        with torch.no_grad():
            for p in model.parameters():
                p.add_(0.05 * torch.randn_like(p))
        return model.double()

    return build


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    return {
        "images": torch.rand(12, 3, 32, 16, generator=generator, dtype=torch.double) * 255,
        "targets": torch.arange(6).repeat_interleave(2),
        "domains": torch.arange(K).repeat_interleave(4),
    }


@pytest.fixture
def full_batch():
    """For each of the three domains 8 images of 4 identities, in mixed order."""
    generator = torch.Generator().manual_seed(1)
    order = torch.randperm(24, generator=generator)
    batch = {
        "images": torch.rand(24, 3, 32, 16, generator=generator, dtype=torch.double) * 255,
        "targets": torch.arange(12).repeat_interleave(2)[order],
        "domains": torch.arange(K).repeat_interleave(8)[order],
    }
    return {**batch, "img_paths": [f"{target}.jpg" for target in batch["targets"].tolist()]}
