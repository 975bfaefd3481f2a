"""Which weights count as classifiers."""

import pytest
from fastreid.modeling.meta_arch import build_model

from fastreid_gdnorm.modeling.classifiers import is_classifier


@pytest.mark.parametrize("bottleneck", [0, 8])
def test_the_classifier_is_the_heads_matrix_with_or_without_a_bottleneck(tiny, bottleneck):
    cfg = tiny("gdnorm", "MODEL.HEADS.NUM_CLASSES", "6", "MODEL.HEADS.EMBEDDING_DIM", str(bottleneck))
    parameters = dict(build_model(cfg).named_parameters())
    found = [name for name, weight in parameters.items() if is_classifier(name, weight)]
    assert found == ["heads.weight"] and len(parameters["heads.weight"]) == 6
