"""Detections of the demo's test people from Python, and their mAP.

contextloc --config=shoulder --workdir=runs/shoulder      (or make demo)
python examples/localize.py runs/shoulder
"""

import sys

import contextloc_jax as cl
from input_pipeline.inputs import Inputs

workdir = sys.argv[1]
localizer = cl.Localizer.load(workdir)
inputs = Inputs(**localizer.settings.inputs._asdict())
videos = inputs.test_data(inputs.prepare(workdir))
found = []
for number, video in enumerate(videos.records):
    timing = {"fps": video.fps, "duration_seconds": video.duration_seconds}
    proposals_seconds = video.proposals / video.fps
    found.append(localizer(videos.features(number), proposals_seconds, video_id=video.video_id, **timing))
detections = cl.concatenate(found)
cl.write_detections("detections.json", detections)
print(f"average mAP {cl.evaluate(detections, inputs.ground_truth(videos), 'thumos14')['average_mAP']:.4f}")
