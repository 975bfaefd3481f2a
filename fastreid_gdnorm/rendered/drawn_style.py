"""Random styles, from ranges that contain the named styles."""

from __future__ import annotations

import numpy as np

from .backdrop import BACKDROPS
from .styles import COLOURS, DomainStyle

NUMBER = 1000  # random styles are numbered from here


def draw_style(seed: int) -> DomainStyle:
    """A random style. It depends only on ``seed``, 0 or more."""
    rng = np.random.default_rng([seed, NUMBER])

    def uniform(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    def log_uniform(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    def colours(fewest: int, most: int) -> tuple[tuple[int, int, int], ...]:
        chosen = rng.choice(len(COLOURS), size=int(rng.integers(fewest, most + 1)), replace=False)
        return tuple(COLOURS[int(index)] for index in chosen)

    def shares(usual: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(map(float, rng.dirichlet(15 * np.asarray(usual))))

    quality = int(rng.integers(45, 86))
    return DomainStyle(
        name=f"drawn {seed}",
        number=NUMBER + seed,
        backdrop=sorted(BACKDROPS)[int(rng.integers(len(BACKDROPS)))],
        tops=colours(5, 7),
        seconds=colours(4, 4),
        bottoms=colours(3, 4),
        dye=uniform(8, 12),
        patterns=shares((0.35, 0.1, 0.07, 0.09, 0.16, 0.11, 0.12)),
        bags=shares((0.42, 0.26, 0.14, 0.18)),
        long_sleeves=uniform(0.1, 1),
        coats=uniform(0, 0.6),
        shorts=uniform(0, 0.5),
        skirts=uniform(0.1, 0.5),
        height=round(log_uniform(84, 144)),
        aspect=uniform(2, 2.3),
        height_spread=uniform(0, 0.2),
        margin=uniform(0.03, 0.12),
        misalign=uniform(0.025, 0.07),
        occlusion=uniform(0.15, 0.25),
        passers_by=uniform(0.15, 0.45),
        pitch=uniform(0.06, 0.35),
        cast=(uniform(0.8, 1.2), uniform(0.9, 1.06), uniform(0.7, 1.05)),
        gamma=log_uniform(0.7, 1.35),
        contrast=log_uniform(0.75, 1.38),
        brightness=uniform(-0.02, 0.08),
        saturation=uniform(0.5, 1.4),
        camera_spread=uniform(0.08, 0.18),
        blur=uniform(0.3, 0.75),
        noise=log_uniform(0.009, 0.055),
        quality=(quality, min(95, quality + int(rng.integers(10, 24)))),
    )
