"""ActivityNet v1.3 as published, configs/activitynet13.py:rgb or :flow.

python main.py --config=configs/activitynet13.py:rgb --workdir=runs/activitynet13_rgb
    --config.data.train_proposals=FILE --config.data.train_features=DIR
    --config.data.test_proposals=FILE --config.data.test_features=DIR --config.data.annotations=activity_net.v1-3.json

The test split is ActivityNet's validation subset. Published: mAP@0.5/0.75/0.95 = 56.01 / 35.19 / 3.55, average 34.23.
"""

from configs import default

STREAMS = ("rgb", "flow")


def get_config(stream: str = "rgb"):
    """The changes for `activitynet13`: P-GCN's label thresholds for it, 100 bins, the ActivityNet protocol."""
    if stream not in STREAMS:
        raise ValueError(f"configs/activitynet13.py:{stream}: expected one of {', '.join(STREAMS)}")
    config = default.get_config()
    config.visits_per_epoch = 5

    config.sampling.foreground_tiou = 0.7
    config.sampling.incomplete_tiou = 0.6
    config.sampling.incomplete_overlap_self = 0.0
    config.sampling.background_tiou = 0.1
    config.sampling.background_coverage = 0.0

    config.detection.protocol = "activitynet"
    config.detection.top_k = 100
    config.detection.nms_tiou = 0.4
    config.detection.class_top_k = 2  # has an effect only with config.detection.class_scores

    config.data.dataset = "activitynet13"
    config.data.num_classes = 200
    config.data.num_bins = 100
    config.data.feature_dtype = "float16"
    return config
