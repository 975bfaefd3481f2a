"""Directions in the notation of papers."""

import pytest

from fastreid_gdnorm.paper.directions import Direction, letters
from fastreid_gdnorm.runs.run_config import load_config


@pytest.mark.parametrize("text", ["D+C3+MT->M", "MT+C3+D->M", "D+C3+MT→M", " D+C3+MT -> M "])
def test_the_order_and_the_arrow_do_not_matter(text):
    direction = Direction.parse(text)
    assert direction == Direction(("D", "C3", "MT"), ("M",))
    assert hash(direction) == hash(Direction(("MT", "D", "C3"), ("M",)))
    assert direction not in [Direction.parse("D+C3->M"), Direction.parse("D+C3+M->MT"), Direction.parse("D+C3+MT")]


def test_a_direction_is_written_in_the_order_of_the_config():
    direction = Direction.of(load_config("projects/GDNorm/configs/protocol1/gdnorm.yml"))
    assert str(direction) == "M+D+C2+C3+CS->V+P+G+I"
    assert direction.to("V") == "M+D+C2+C3+CS->V"
    assert direction.to(letters("average")) == "M+D+C2+C3+CS->mean of V+P+G+I"
    assert letters("RenderedMall") == "RenderedMall", "it has no letters in papers"
