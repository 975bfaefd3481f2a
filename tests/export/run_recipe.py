"""Run a recipe of the manual on a video, in an environment with the recipe's tracker.

    python run_recipe.py deep_sort_realtime|norfair|trackers RECIPE.py VIDEO.npz OUTPUT.json

VIDEO holds ``frames`` (T, H, W, 3), ``boxes`` (T, N, 4), the same people in every frame, and ``empty`` (T), true for
frames in which the detector finds nobody. OUTPUT lists for each frame the people that have a track, as {person: [id,
feature]}; for trackers, which has no track yet, only the last frame.
"""

import json
import sys

import numpy as np


def deep_sort_realtime(tracks):
    now = [track for track in tracks if track.is_confirmed() and not track.time_since_update]
    return [(track.track_id, track.to_ltrb(orig=True), track.get_feature()) for track in now]


def norfair(tracks):
    return [(track.id, track.last_detection.points.ravel(), track.last_detection.embedding) for track in tracks]


package, recipe, video, output = sys.argv[1:]
given = np.load(video)
known, seen, at = {}, [], 0


def play():
    global at
    for at, frame in enumerate(given["frames"]):  # noqa: B007 `detect` reads it
        yield frame
        people = {}
        for track, box, feature in globals()[package](known["tracks"]):
            person = int(np.abs(given["boxes"][at] - box).sum(axis=1).argmin())
            people[person] = [str(track), np.asarray(feature).tolist()]
        seen.append({} if given["empty"][at] else people)


def detect(frame):
    boxes = given["boxes"][at][: 0 if given["empty"][at] else None]
    return boxes, np.full(len(boxes), 0.9)


known.update(video=play(), detect=detect)
with open(recipe) as text:
    exec(text.read(), known)
if package == "trackers":
    import supervision
    from trackers import BoTSORTTracker  # noqa: F401 whose later releases call the encoder

    found = supervision.Detections(xyxy=given["boxes"][-1])
    features = known["Encoder"]("logs/mine/export").extract_features(found, given["frames"][-1])
    seen = [{person: ["", feature.tolist()] for person, feature in enumerate(features)}]
with open(output, "w") as file:
    json.dump(seen, file)
