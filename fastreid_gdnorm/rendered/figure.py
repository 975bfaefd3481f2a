"""Paints a person in a pose."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .clothes import NECK_HEIGHT, head_albedo, sleeve_albedo, top_albedo
from .paint import Albedo, Canvas, capsule, shadow, stroke
from .person import Person
from .pose import Point, Pose

Values = NDArray[np.float64]
Painter = Callable[[Canvas], None]  # paints one part of the body

# Torso: height, half-breadth and half-depth there, in body heights.
TORSO = (
    (0.845, 0.030, 0.030),
    (0.83, 0.055, 0.048),
    (0.805, 0.110, 0.062),
    (0.78, 0.124, 0.070),
    (0.72, 0.116, 0.082),
    (0.62, 0.096, 0.074),
    (0.52, 0.106, 0.084),
    (0.30, 0.128, 0.105),
)


class Figure:
    """One person in one pose, as one camera sees it.

    Args:
        feet: where the person stands on the canvas, in pixels (x, y).
        size: body height in pixels, seen from a level camera.
        light: unit vector of `paint.light_from`.
        pitch, roll: how far the camera looks down and leans sideways, in radians.
    """

    def __init__(
        self,
        person: Person,
        pose: Pose,
        feet: Values,
        size: float,
        light: Values,
        pitch: float = 0.0,
        roll: float = 0.0,
    ) -> None:
        self.person, self.pose, self.light = person, pose, light
        self.feet, self.size, self.pitch, self.roll = np.asarray(feet, float), size, pitch, roll
        self.joints = pose.joints(person.build, person.legs)
        self.ground = min(self.joints["left_toe"][1], self.joints["right_toe"][1])  # a stride lowers the body

    def paint(self, canvas: Canvas) -> None:
        """Paint in place, the farthest part first. canvas: (H, W, 3) float64 RGB in 0..255."""
        shadow(canvas, self.feet, (0.17 * self.size, 0.03 * self.size), 0.45)
        facing = np.cos(self.pose.yaw)
        parts: list[tuple[float, Painter]] = [
            (0.0, self._torso),
            (0.02, self._head),
            (-0.05 * facing, self._hair),
        ]
        for side in ("left", "right"):
            parts.append((self._depth(self.joints[f"{side}_knee"]) - 2, self._leg(side)))
            parts.append((self._depth(self.joints[f"{side}_elbow"]), self._arm(side)))
        if self.person.bottom_kind == "skirt":
            parts.append((-1.0, self._skirt))
        if self.person.bag == "backpack":
            parts.append((-0.12 * facing, self._backpack))
        elif self.person.bag == "handbag":
            parts.append((self._depth(self.joints["left_wrist"]), self._handbag))
        elif self.person.bag == "shoulder":
            parts.append((-0.14 * np.sin(self.pose.yaw), self._shoulder_bag))
        for _, part in sorted(parts, key=lambda part: part[0]):
            part(canvas)

    def _torso(self, canvas: Canvas) -> None:
        person = self.person
        heights, breadths, depths = np.array(TORSO).T
        levels = np.concatenate([heights[heights > person.hem], [person.hem]])
        half = self._breadth(
            np.interp(-levels, -heights, breadths) * person.build,
            np.interp(-levels, -heights, depths) * np.sqrt(person.build),
        )
        t = (NECK_HEIGHT - levels) / (NECK_HEIGHT - person.hem)
        self._solid(canvas, (0, NECK_HEIGHT, 0), (0, person.hem, 0), t, half, top_albedo(person, self.pose.yaw))

    def _skirt(self, canvas: Canvas) -> None:
        t = np.array([0.0, 0.3, 1.0])
        half = self._breadth(np.array([0.09, 0.115, 0.155]), np.array([0.08, 0.10, 0.14]))
        self._solid(canvas, (0, 0.60, 0), (0, 0.29, 0), t, half, self.person.bottom)

    def _head(self, canvas: Canvas) -> None:
        self._limb(canvas, (0, 0.87, 0), (0, 0.835, 0), 0.036, 0.038, self.person.skin)
        t = 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, 13))
        half = 0.062 * (1 - (2 * t - 1) ** 2) ** 0.42 * (1.05 - 0.18 * t)
        self._solid(canvas, (0, 1.0, 0.0), (0, 0.845, 0.014), t, half, head_albedo(self.person, self.pose.yaw))

    def _hair(self, canvas: Canvas) -> None:
        style, hair = self.person.hair_style, self.person.hair
        if style == "long":
            self._limb(canvas, (0, 0.935, -0.022), (0, 0.775, -0.055), 0.058, 0.050, hair)
        elif style == "bun":
            self._limb(canvas, (0, 0.985, -0.055), (0, 0.965, -0.06), 0.030, 0.030, hair)
        elif style == "cap":
            self._limb(canvas, (0, 0.945, 0.03), (0, 0.935, 0.095), 0.042, 0.03, self.person.second)

    def _arm(self, side: str) -> Painter:
        def paint(canvas: Canvas) -> None:
            shoulder, elbow, wrist = self._joints(side, "shoulder", "elbow", "wrist")
            breadth = 0.5 + 0.5 * self.person.build
            x, y, z = (w + 0.2 * (w - e) for w, e in zip(wrist, elbow))
            self._limb(canvas, wrist, (x, y, z), 0.020, 0.019, self.person.skin)
            self._limb(canvas, elbow, wrist, 0.031 * breadth, 0.023, sleeve_albedo(self.person, 0.52, 1.0))
            self._limb(canvas, shoulder, elbow, 0.040 * breadth, 0.032 * breadth, sleeve_albedo(self.person, 0.0, 0.52))

        return paint

    def _leg(self, side: str) -> Painter:
        def paint(canvas: Canvas) -> None:
            person = self.person
            hip, knee, ankle, toe = self._joints(side, "hip", "knee", "ankle", "toe")
            bare = person.bottom_kind != "trousers"
            breadth = 0.5 + 0.5 * person.build
            self._limb(canvas, ankle, toe, 0.030, 0.022, person.shoes)
            self._limb(
                canvas, knee, ankle, 0.042 * breadth, 0.028 if bare else 0.040, person.skin if bare else person.bottom
            )
            self._limb(
                canvas,
                hip,
                knee,
                0.070 * breadth,
                0.056 if person.bottom_kind == "shorts" else 0.047,
                person.skin if person.bottom_kind == "skirt" else person.bottom,
            )

        return paint

    def _backpack(self, canvas: Canvas) -> None:
        t = np.array([0.0, 0.08, 0.9, 1.0])
        half = self._breadth(np.array([0.05, 0.082, 0.092, 0.075]), np.array([0.03, 0.055, 0.07, 0.06]))
        self._solid(canvas, (0, 0.81, -0.115), (0, 0.57, -0.115), t, half, self.person.bag_colour)

    def _handbag(self, canvas: Canvas) -> None:
        x, y, z = self.joints["left_wrist"]
        self._limb(canvas, (x, y, z), (x, y - 0.06, z), 0.008, 0.008, self.person.bag_colour)
        half = self._breadth(np.array([0.024, 0.030, 0.034]), np.array([0.055, 0.075, 0.085]))
        self._solid(
            canvas, (x, y - 0.06, z), (x, y - 0.17, z), np.array([0.0, 0.15, 1.0]), half, self.person.bag_colour
        )

    def _shoulder_bag(self, canvas: Canvas) -> None:
        half = self._breadth(np.array([0.035, 0.042, 0.042]), np.array([0.075, 0.085, 0.085]))
        self._solid(canvas, (0.14, 0.585, 0), (0.14, 0.455, 0), np.array([0.0, 0.2, 1.0]), half, self.person.bag_colour)

    def _solid(self, canvas: Canvas, upper: Point, lower: Point, t: Values, half: Values, albedo: Albedo) -> None:
        profile = np.stack([t, half * self.size], axis=1)
        stroke(canvas, self._project(upper), self._project(lower), profile, albedo, self.light)

    def _limb(
        self, canvas: Canvas, upper: Point, lower: Point, upper_radius: float, lower_radius: float, albedo: Albedo
    ) -> None:
        start, end = self._project(upper), self._project(lower)
        profile = capsule(upper_radius * self.size, lower_radius * self.size, np.hypot(*(end - start)))
        stroke(canvas, start, end, profile, albedo, self.light)

    def _joints(self, side: str, *names: str) -> list[Point]:
        return [self.joints[f"{side}_{name}"] for name in names]

    def _breadth(self, breadth: Values, depth: Values) -> Values:
        """The visible half-width of an elliptic section."""
        half: Values = np.hypot(breadth * np.cos(self.pose.yaw), depth * np.sin(self.pose.yaw))
        return half

    def _depth(self, point: Point) -> float:
        """How much nearer to the camera a point is than the body's axis, in body heights."""
        return float(-point[0] * np.sin(self.pose.yaw) + point[2] * np.cos(self.pose.yaw))

    def _project(self, point: Point) -> Values:
        """Body coordinates to pixels (x, y)."""
        across = point[0] * np.cos(self.pose.yaw) + point[2] * np.sin(self.pose.yaw)
        up = (point[1] - self.ground) * np.cos(self.pitch) - self._depth(point) * np.sin(self.pitch)
        cos, sin = np.cos(self.roll), np.sin(self.roll)
        return self.feet + self.size * np.array([across * cos + up * sin, across * sin - up * cos])
