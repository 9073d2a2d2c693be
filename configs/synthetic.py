"""Made data of THUMOS14's size, for benchmarks and scale tests.

python main.py --config=configs/synthetic.py --workdir=runs/synthetic
Smaller: --config.data.synthetic.train_videos=8 --config.data.synthetic.feature_width=64 and so on.
"""

from configs import default


def get_config():
    """The deltas for `synthetic`: its data; the schedule is the published one."""
    config = default.get_config()
    config.data.dataset = "synthetic"
    config.data.feature_dtype = "float16"
    return config
