"""Your own features, proposals and annotations; docs/own_data.md is the tutorial.

python main.py --config=configs/custom.py --workdir=runs/mine --config.data.num_classes=N
    --config.data.train_proposals=FILE --config.data.train_features=DIR
    --config.data.test_proposals=FILE --config.data.test_features=DIR

The published model with a short schedule. It takes a few minutes on two CPU cores for about fifty videos of two
minutes. For hundreds of videos and an accelerator, use the published schedule: batch_size 32, num_epochs 45,
visits_per_epoch 20, optimizer.decay_epochs (15, 30).
"""

from configs import default


def get_config():
    """The changes for `custom`."""
    config = default.get_config()
    config.batch_size = 16
    config.num_epochs = 12
    config.visits_per_epoch = 12
    config.evaluate_every = 3
    config.log_every = 10
    config.optimizer.decay_epochs = (8, 11)

    config.data.dataset = "custom"
    config.data.num_classes = 0  # must be set
    return config
