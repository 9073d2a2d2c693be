"""Quickstart: physiotherapy exercises from wrist recordings of ten people; CPU, about two minutes.

python main.py --config=configs/shoulder.py --workdir=runs/shoulder
"""

from configs import default


def get_config():
    """The deltas for `shoulder`."""
    config = default.get_config()
    config.data.dataset = "shoulder"
    config.data.num_classes = 5
    config.data.validation_fraction = 1 / 7  # one of the seven training people
    config.model.context_width = 128
    config.model.graph_width = 128
    return config
