"""Every configuration key, once, with its unit. Values: the published THUMOS14 settings, RGB stream.

The other configurations (shoulder.py, ...) state only what differs. --config.key=value overrides any key.
"""

import ml_collections
from ml_collections import config_dict


def get_config() -> ml_collections.ConfigDict:
    """The default configuration."""
    config = ml_collections.ConfigDict()
    config.seed = 0  # all random draws come from it
    config.batch_size = 32  # videos per step, over all devices
    config.gradient_accumulation = 1  # parts into which a device splits its videos of a step, to save memory
    config.num_epochs = 45
    config.visits_per_epoch = 20  # how often every video is visited in an epoch
    config.log_every = 20  # steps
    config.evaluate_every = 5  # epochs; also when a checkpoint is saved
    config.refit = False  # find the best epoch on held-out videos, then train again up to that epoch on all videos
    config.keep_checkpoints = 2  # how many of the newest are kept; the best is kept as well
    config.parallel = "shard_map"  # or 'pmap'
    config.dtype = "float32"  # matrix products; 'bfloat16' sums in float32, 'float64' needs JAX_ENABLE_X64=1
    config.profile = False  # write a trace of a few steps to workdir/profile

    config.model = model = ml_collections.ConfigDict()
    model.context_width = 512  # outputs of L-Net and of G-Net
    model.graph_width = 512  # hidden width of the P-Net
    model.local_context = True  # L-Net
    model.global_context = True  # G-Net
    model.adaptation = True  # G-Net adapts the video representation to each proposal
    model.boundary_segments = True  # start and end segments in the completeness feature
    model.batch_norm = True
    model.batch_norm_global = False  # statistics over all devices; False, as in the authors' code: per device
    model.proposal_net = "pgcn"  # or 'nonlocal', 'none'
    model.gcn_dropout = 0.0  # after the first graph layer (P-GCN: 0.7)
    model.head_dropout = 0.8  # before the activity head
    # The form of retrieval; all forms compute the same, and a trained model may use any. 'auto': the fastest one;
    # 'plain': the formula of localization/retrieval.py, everywhere; 'windows', 'kernel' (NVIDIA GPUs): the fast forms.
    model.retrieval = "auto"

    config.loss = loss = ml_collections.ConfigDict()
    loss.completeness_weight = 0.5
    loss.regression_weight = 0.5

    config.optimizer = optimizer = ml_collections.ConfigDict()
    optimizer.learning_rate = 0.01
    optimizer.decay_epochs = (15, 30)
    optimizer.decay_factor = 0.1
    optimizer.momentum = 0.9
    optimizer.weight_decay = 5e-4  # weights only, not biases

    config.sampling = sampling = ml_collections.ConfigDict()
    sampling.num_foreground = 1  # centers of a video
    sampling.num_incomplete = 6
    sampling.num_background = 1
    sampling.foreground_tiou = 0.7  # foreground: tIoU above this
    sampling.incomplete_tiou = 0.3  # incomplete: tIoU below this,
    sampling.incomplete_overlap_self = 0.01  # and a share of the proposal above this lies inside an action
    sampling.background_tiou = 0.01  # background: tIoU below this,
    sampling.background_coverage = 0.02  # and the proposal covers a share of the video above this

    config.detection = detection = ml_collections.ConfigDict()
    detection.protocol = "thumos14"  # or 'activitynet'
    detection.top_k = 2000  # how many (proposal, class) pairs of a video are kept
    detection.nms_tiou = 0.35
    detection.nms = "hard"  # or 'linear', 'gaussian' (Soft-NMS), 'none'
    # Video-level class scores of the test videos, which multiply the scores of proposals: a .json or .npy file, or
    # 'oracle' (the annotated classes); '': none. ActivityNet is usually evaluated with a classifier's two best classes.
    detection.class_scores = ""
    detection.class_top_k = 0  # how many classes of a video are kept, the best by class_scores; 0: all

    config.data = data = ml_collections.ConfigDict()
    data.dataset = "thumos14"  # a name in input_pipeline/datasets/registry.py
    data.data_dir = ""  # where prepared data lies; '': workdir/tfds
    data.beam_runner = ""  # an Apache Beam runner that builds datasets of files, as 'DirectRunner'; '': this process
    data.composition_seed = 0  # shoulder, synthetic: the videos are composed or drawn with this seed
    data.num_classes = 20
    data.train_proposals = config_dict.placeholder(str)  # files of any documented form; unused where data is built in
    data.test_proposals = config_dict.placeholder(str)
    data.train_features = config_dict.placeholder(str)  # a folder with one file per video, or one file for all
    data.test_features = config_dict.placeholder(str)
    data.annotations = config_dict.placeholder(str)  # JSON: durations, class names, ground truth of CSV and JSON
    data.fps = 30.0  # frames per second, if the files do not give it
    data.snippet_stride = 8  # frames
    data.snippet_length = 64  # frames
    data.num_bins = 0  # rescale features to this many bins over the whole video; 0: snippets by stride
    data.feature_dtype = "float32"  # as stored; or 'float16'
    data.synthetic = synthetic = ml_collections.ConfigDict()
    synthetic.train_videos = 200
    synthetic.test_videos = 213
    synthetic.feature_width = 1024
    synthetic.shortest_snippets = 100  # of a video
    synthetic.longest_snippets = 1024
    synthetic.num_proposals = 300  # of a video
    data.test_videos = 213  # thumos14: 213 for all; 211 or 210: without those that SSN or P-GCN left out
    data.validation_fraction = 0.0  # share of the training videos held out to choose the checkpoint; 0: use the last
    data.cache_gigabytes = 4.0  # how much of the features is kept in memory
    return config
