"""Quickstart: physiotherapy exercises in wrist recordings of ten people.

python main.py --config=configs/shoulder.py --workdir=runs/shoulder      (make demo)
Two CPU cores: about two minutes. Expected on the test people: see README.md.

There are recordings of only seven training people. So this configuration adds regularization to the published one:
strong weight decay, dropout in the graph, more foreground centers, and a short schedule.
"""

from configs import default


def get_config():
    """The changes for `shoulder`."""
    config = default.get_config()
    config.batch_size = 16
    config.num_epochs = 12
    config.visits_per_epoch = 5
    config.evaluate_every = 6
    config.refit = True  # with only seven people, the held-out one is needed for training too
    config.log_every = 5

    config.model.context_width = 256
    config.model.graph_width = 128
    config.model.gcn_dropout = 0.5
    config.model.head_dropout = 0.5

    config.loss.completeness_weight = 1.0
    config.optimizer.weight_decay = 0.1
    config.optimizer.decay_epochs = (8,)

    config.sampling.num_foreground = 3
    config.sampling.num_incomplete = 3
    config.sampling.num_background = 2

    config.detection.nms_tiou = 0.15  # exercises never touch

    config.data.dataset = "shoulder"
    config.data.composition_seed = 1
    config.data.num_classes = 5
    config.data.validation_fraction = 1 / 7  # one of the seven training people
    return config
