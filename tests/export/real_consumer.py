"""Run a tracker's own code on an exported file, in the tracker's environment.

    python real_consumer.py boxmot|ultralytics MODEL SCENE.png BOXES.npy FEATURES.npy

BOXES is (N, 4): x1, y1, x2, y2 in pixels. FEATURES gets the tracker's features of the boxes, scaled to length 1.
"""

import sys

import cv2
import numpy as np


def boxmot(model, scene, boxes):
    from boxmot.reid.core.runtime import ReID

    return ReID(model, device="cpu")(scene, boxes=boxes)


def ultralytics(model, scene, boxes):
    from ultralytics.trackers.utils.reid import ReID

    centres, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    return np.stack(ReID(model, device="cpu")(scene, np.concatenate((centres, sizes), axis=1)))


if __name__ == "__main__":
    consumer, model, scene, boxes, output = sys.argv[1:]
    features = globals()[consumer](model, cv2.imread(scene), np.load(boxes).astype(np.float32))
    np.save(output, features / np.linalg.norm(features, axis=1, keepdims=True))
