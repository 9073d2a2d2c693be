"""Synthetic data of THUMOS14's size, for benchmarks and tests of scale.

python main.py --config=configs/synthetic.py --workdir=runs/synthetic
Smaller: --config.data.synthetic.train_videos=8 --config.data.synthetic.feature_width=64 and so on.
"""

from configs import default


def get_config():
    """The changes for `synthetic`: only the data. The schedule is the published one."""
    config = default.get_config()
    config.data.dataset = "synthetic"
    config.data.feature_dtype = "float16"
    return config
