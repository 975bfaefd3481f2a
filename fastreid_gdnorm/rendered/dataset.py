"""fast-reid readers of the rendered domains."""

from __future__ import annotations

import os
import re
from typing import Any

from ..data.readers import MarketStyle
from .draw import draw_domain
from .drawn_style import draw_style
from .plan import Plan
from .styles import DomainStyle

DRAWN = {  # by the name before the seed
    "RenderedDraw": Plan(test_ids=300),  # 600 queries: an interval of a few points
    "RenderedSmallDraw": Plan(),  # for many domains in little time
}


class RenderedDomain(MarketStyle):
    """A rendered data set in `root/<class name>`, drawn there when first asked for."""

    style: str | DomainStyle  # a DomainStyle or a name in STYLES; what a subclass sets
    plan = Plan()

    def __init__(self, root: str = "datasets", **kwargs: Any) -> None:
        self.folders = (type(self).__name__,)
        draw_domain(self.style, os.path.join(root, *self.folders), self.plan)
        super().__init__(root, **kwargs)


class RenderedStreet(RenderedDomain):
    """A city street in daylight: middling in everything."""

    style, dataset_name = "street", "renderedstreet"


class RenderedMall(RenderedDomain):
    """A shopping mall: warm and bright, seen from above, tight crops of varied size."""

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
    """The reader of a domain whose style is drawn by ``seed``, 0 or more, in the folder ``prefix`` + ``seed``.

    Those of DRAWN need no registration. One of another plan needs another prefix.
    """
    name = f"{prefix}{seed}"
    fields = {"__doc__": f"A domain drawn by the seed {seed}.", "style": draw_style(seed), "plan": plan}
    return type(name, (RenderedDomain,), {**fields, "dataset_name": name.lower()})


def drawn_domain_of(name: object) -> type[RenderedDomain] | None:
    """The reader of RenderedDraw0, RenderedSmallDraw0, ...; None if it is no such name."""
    found = re.fullmatch(rf"({'|'.join(DRAWN)})(0|[1-9]\d{{0,8}})", name) if isinstance(name, str) else None
    return drawn_domain(int(found[2]), DRAWN[found[1]], found[1]) if found else None
