"""THUMOS14 as published, configs/thumos14.py:rgb or :flow.

python main.py --config=configs/thumos14.py:rgb --workdir=runs/thumos14_rgb
    --config.data.train_proposals=FILE --config.data.train_features=DIR
    --config.data.test_proposals=FILE --config.data.test_features=DIR

Published, both streams fused 1.2 : 1 (flow : rgb): mAP@0.3..0.7 = 68.3 / 63.8 / 54.3 / 41.8 / 26.2.
"""

from configs import default

STREAMS = ("rgb", "flow")


def get_config(stream: str = "rgb"):
    """The default configuration is the published one. The streams differ only in their files."""
    if stream not in STREAMS:
        raise ValueError(f"configs/thumos14.py:{stream}: expected one of {', '.join(STREAMS)}")
    config = default.get_config()
    config.data.dataset = "thumos14"
    config.data.test_videos = 210  # as in the authors' lists
    return config
