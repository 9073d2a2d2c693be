"""The quickstart with one part of the model changed: configs/ablations.py:NAME, see ROWS.

`make ablations` runs every row with three seeds and writes docs/ablations.md. All rows train on all training people for
the whole schedule. To choose the epoch of each row on a held-out person first would double the time.
"""

from configs import shoulder

P_GCN = {
    "model.local_context": False,
    "model.global_context": False,
    "model.batch_norm": False,
    "model.gcn_dropout": 0.7,
    # Features are larger without BatchNorm: with a rate of 0.01, the activity loss stays above 2.
    "optimizer.learning_rate": 1e-3,
}

# name: (what it is, the keys that differ from configs/shoulder.py)
ROWS = {
    "contextloc": ("ContextLoc", {}),
    "no_l_net": ("L-Net without context: only y, projected", {"model.local_context": False}),
    "no_g_net": ("without G-Net", {"model.global_context": False}),
    "no_adaptation": ("G-Net without adaptation: g itself, projected", {"model.adaptation": False}),
    "no_boundaries": ("without start and end segments", {"model.boundary_segments": False}),
    "nonlocal": ("P-Net: non-local", {"model.proposal_net": "nonlocal"}),
    "no_p_net": ("P-Net: none", {"model.proposal_net": "none"}),
    "pgcn": ("P-GCN: no L-Net, no G-Net, no BatchNorm", P_GCN),
}


def get_config(name: str = "contextloc"):
    """The configuration of one row."""
    if name not in ROWS:
        raise ValueError(f"configs/ablations.py:{name}: expected one of {', '.join(ROWS)}")
    config = shoulder.get_config()
    config.refit, config.data.validation_fraction = False, 0.0
    config.update_from_flattened_dict(ROWS[name][1])
    return config
