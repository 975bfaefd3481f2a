"""A pose: how a person stands or walks in one image, and where the joints are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

VIEWS = {"front": 0.0, "back": np.pi, "left": -np.pi / 2, "right": np.pi / 2}
UPPER_ARM, FOREARM = 0.16, 0.15

Point = tuple[float, float, float]  # x to the body's left, y up, z forwards


@dataclass(frozen=True)
class Pose:
    """Angles in radians. With `yaw` 0 the person faces the camera; the others bend the limbs."""

    yaw: float
    stride: float
    phase: float
    lift: tuple[float, float]  # extra bend of the left and the right forearm

    @classmethod
    def random(cls, rng: np.random.Generator) -> Pose:
        """A random pose, from standing to striding, within 26 degrees of one of the four views."""
        yaw = list(VIEWS.values())[rng.integers(len(VIEWS))] + rng.uniform(-0.45, 0.45)
        stride = rng.uniform(0.30, 0.55) if rng.random() < 0.75 else rng.uniform(0.0, 0.08)
        lift = np.where(rng.random(2) < 0.22, rng.uniform(0.9, 2.0, 2), 0.0)
        left, right = map(float, lift)
        return cls(float(yaw), float(stride), float(rng.uniform(0, 2 * np.pi)), (left, right))

    def joints(self, build: float, hips: float) -> dict[str, Point]:
        """The joints of a body of height 1, by name.

        Args:
            build: breadth of the shoulders; 1 is average.
            hips: height of the hip joints.
        """
        joints: dict[str, Point] = {}
        for side, sign, lift in (("left", 1, self.lift[0]), ("right", -1, self.lift[1])):
            swing = sign * self.stride * np.sin(self.phase)
            bend = self.stride * (0.75 + 0.75 * sign * np.cos(self.phase))
            knee = _hang((sign * 0.055, hips, 0), swing + 0.15 * bend, 0.49 * (hips - 0.045))
            ankle = _hang(knee, swing - bend, 0.51 * (hips - 0.045))
            shoulder = (sign * 0.106 * build, 0.785, 0)
            elbow = _hang(shoulder, -0.9 * swing, UPPER_ARM, sign * 0.16)
            wrist = _hang(elbow, -0.9 * swing + 0.25 + lift, FOREARM, sign * 0.05 - sign * 0.25 * (lift > 0))
            joints.update(
                {
                    f"{side}_hip": (sign * 0.055, hips, 0),
                    f"{side}_knee": knee,
                    f"{side}_ankle": ankle,
                    f"{side}_toe": (ankle[0] + sign * 0.012, ankle[1] - 0.03, ankle[2] + 0.085),
                    f"{side}_shoulder": shoulder,
                    f"{side}_elbow": elbow,
                    f"{side}_wrist": wrist,
                }
            )
        return joints


def _hang(joint: Point, forwards: float, length: float, outwards: float = 0.0) -> Point:
    """The far end of a bone that hangs from `joint`, swung forwards and outwards by these angles."""
    x, y, z = joint
    down = length * np.cos(forwards)
    return (x + down * np.sin(outwards), y - down * np.cos(outwards), z + length * np.sin(forwards))
