"""One shot: a camera, the person in front of it, and what gets in the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .backdrop import paint_backdrop
from .figure import Figure
from .paint import Canvas, light_from, stroke
from .person import Person
from .pose import Pose
from .styles import DomainStyle


@dataclass(frozen=True)
class Camera:
    """A domain's camera: its place and its light. `gain` multiplies R, G and B."""

    backdrop: NDArray[np.uint8]
    light: NDArray[np.float64]
    gain: NDArray[np.float64]
    pitch: float
    roll: float
    size: float  # of people in their boxes; 1 is average for the domain

    @classmethod
    def random(cls, rng: np.random.Generator, style: DomainStyle) -> Camera:
        """A random camera of the domain."""
        height = int(style.height * (1 + style.height_spread) * 1.25)
        return cls(
            backdrop=paint_backdrop(style.backdrop, rng, height, 3 * height),
            light=light_from(rng.uniform(-1.3, 1.3)),
            gain=np.exp(rng.normal(0, style.camera_spread) + rng.normal(0, 0.4 * style.camera_spread, 3)),
            pitch=float(np.clip(style.pitch + rng.normal(0, 0.07), 0, 0.5)),
            roll=float(rng.normal(0, 0.025)),
            size=float(rng.uniform(0.93, 1.03)),
        )


def shoot(camera: Camera, style: DomainStyle, person: Person | None, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A crop of `person`, or of nobody if None: (h, w, 3) uint8 RGB, before :func:`develop`."""
    height = int(round(style.height * (1 + rng.uniform(-1, 1) * style.height_spread)))
    width = int(round(height / style.aspect * (1 + rng.uniform(-1, 1) * style.height_spread / 2)))
    canvas = _window(camera.backdrop, height, width, rng)
    size = camera.size * len(canvas) / (np.cos(camera.pitch) * (1 + 2 * style.margin))
    wander = rng.normal(0, style.misalign, 2) * size
    feet = np.array([canvas.shape[1] / 2, len(canvas) * (1 - style.margin / 2) - 0.02 * size]) + wander

    if rng.random() < style.passers_by:
        aside = rng.choice((-1, 1)) * rng.uniform(0.15, 0.4) * size
        behind = feet + (aside, -rng.uniform(0.03, 0.14) * size)
        _figure(Person.random(rng, style), behind, rng.uniform(0.72, 0.92) * size, camera, rng).paint(canvas)
    if person is not None:
        _figure(person, feet, size * rng.uniform(0.95, 1.03), camera, rng).paint(canvas)
    if rng.random() < style.occlusion:
        _occlude(canvas, feet, size, camera, style, rng)
    return np.rint(canvas).astype(np.uint8)


def _figure(person: Person, feet: NDArray[np.float64], size: float, camera: Camera, rng: np.random.Generator) -> Figure:
    return Figure(person, Pose.random(rng), feet, size, camera.light, camera.pitch, camera.roll)


def _window(backdrop: NDArray[np.uint8], height: int, width: int, rng: np.random.Generator) -> Canvas:
    top = int(rng.integers(0, backdrop.shape[0] - height + 1))
    left = int(rng.integers(0, backdrop.shape[1] - width + 1))
    return backdrop[top : top + height, left : left + width].astype(np.float64)


def _occlude(
    canvas: Canvas, feet: NDArray[np.float64], size: float, camera: Camera, style: DomainStyle, rng: np.random.Generator
) -> None:
    """Paint in place something that hides part of the person: a pole, a box or bench, or somebody else."""
    side = rng.choice((-1, 1))
    kind = rng.integers(3)
    colour = rng.integers(40, 190) + rng.integers(-30, 30, 3)
    if kind == 0:
        x, half = feet[0] + side * rng.uniform(0.03, 0.14) * size, rng.uniform(0.02, 0.045) * size
        stroke(canvas, (x, -5), (x, len(canvas) + 5), np.array([[0, half], [1, half]]), colour, camera.light)
    elif kind == 1:
        x, half = feet[0] + side * rng.uniform(0.0, 0.25) * size, rng.uniform(0.12, 0.3) * size
        top = feet[1] - rng.uniform(0.16, 0.38) * size
        profile = np.array([[0, 0.94 * half], [0.06, half], [1, half]])
        stroke(canvas, (x, top), (x, len(canvas) + 5), profile, colour, camera.light)
    else:
        nearer = feet + (side * rng.uniform(0.24, 0.34) * size, rng.uniform(0.03, 0.12) * size)
        _figure(Person.random(rng, style), nearer, 1.08 * size, camera, rng).paint(canvas)
