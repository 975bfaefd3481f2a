"""Which of a model's weights are its classifiers."""

from torch import Tensor


def is_classifier(name: str, weight: Tensor) -> bool:
    """Whether a model's parameter is a classifier's weight, (classes, D).

    In fast-reid a classifier is a matrix that belongs to a head; everything else in a head is BN (1-D) or a 1x1
    convolution (4-D).

    Args:
        name: the parameter's name in the model or in its state dict.
    """
    return "head" in name and weight.dim() == 2
