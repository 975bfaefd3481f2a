"""fast-reid's readers for the rendered domains."""

from __future__ import annotations

import os
import re
from typing import Any

from ..data.readers import MarketStyle
from .drawn_style import draw_style
from .plan import Plan
from .render import render_domain
from .styles import DomainStyle

DRAWN = {  # {prefix of the name, before the seed: plan}
    "RenderedDraw": Plan(test_ids=300),  # 600 queries: mAP to within a few points
    "RenderedSmallDraw": Plan(),  # small, for many domains in little time
}


class RenderedDomain(MarketStyle):
    """A rendered data set in `root/<class name>`, which is rendered on first use."""

    style: str | DomainStyle  # set by subclasses: a DomainStyle or a name in STYLES
    plan = Plan()

    def __init__(self, root: str = "datasets", **kwargs: Any) -> None:
        self.folders = (type(self).__name__,)
        render_domain(self.style, os.path.join(root, *self.folders), self.plan)
        super().__init__(root, **kwargs)


class RenderedStreet(RenderedDomain):
    """A city street in daylight: average in everything."""

    style, dataset_name = "street", "renderedstreet"


class RenderedMall(RenderedDomain):
    """A shopping mall: warm and bright, seen from above, in tight crops of various sizes."""

    style, dataset_name = "mall", "renderedmall"


class RenderedStation(RenderedDomain):
    """A railway platform in winter: small, grey, blurred and heavily compressed."""

    style, dataset_name = "station", "renderedstation"


class RenderedCampus(RenderedDomain):
    """A campus in summer: saturated, contrasty, loosely cropped."""

    style, dataset_name = "campus", "renderedcampus"


class RenderedNight(RenderedDomain):
    """A street at night: dark, noisy, lit by yellow lamps."""

    style, dataset_name = "night", "renderednight"


RENDERED_DOMAINS = (RenderedStreet, RenderedMall, RenderedStation, RenderedCampus, RenderedNight)


def drawn_domain(seed: int, plan: Plan, prefix: str) -> type[RenderedDomain]:
    """The reader of a domain with a random style, in the folder ``prefix`` + ``seed``.

    Domains of DRAWN need no registration. A domain with another plan needs another prefix.

    Args:
        seed: determines the style; 0 or more.
    """
    name = f"{prefix}{seed}"
    fields = {
        "__doc__": f"A synthetic domain with the random style {seed}.",
        "style": draw_style(seed),
        "plan": plan,
    }
    return type(name, (RenderedDomain,), {**fields, "dataset_name": name.lower()})


def drawn_domain_of(name: object) -> type[RenderedDomain] | None:
    """The reader of RenderedDraw0, RenderedSmallDraw0, ...; None for other names."""
    found = re.fullmatch(rf"({'|'.join(DRAWN)})(0|[1-9]\d{{0,8}})", name) if isinstance(name, str) else None
    return drawn_domain(int(found[2]), DRAWN[found[1]], found[1]) if found else None
