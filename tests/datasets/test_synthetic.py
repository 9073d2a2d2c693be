"""Made videos: the smallest have an instance, and small ones train."""

import pytest

from input_pipeline.datasets import prepare
from tests.helpers.custom_runs import train
from tests.helpers.published import data_settings

SMALL = {"num_classes": 3, "synthetic.train_videos": 2, "synthetic.test_videos": 1, "synthetic.feature_width": 4,
         "synthetic.shortest_snippets": 26, "synthetic.longest_snippets": 27, "synthetic.num_proposals": 5}  # fmt: skip


def test_the_smallest_synthetic_videos_have_an_instance(tmp_path):
    builder = prepare("synthetic", tmp_path, data_settings(**SMALL))
    report = builder.report()["splits"]["train"]
    assert report["kept"] == 2 and not report["no_ground_truth"]


@pytest.mark.usefixtures("quick_compiler")
def test_small_synthetic_data_train(tmp_path):
    small = {"train_videos": 4, "test_videos": 2, "feature_width": 8, "shortest_snippets": 30, "longest_snippets": 60,
             "num_proposals": 40}  # fmt: skip
    keys = {"dataset": "synthetic", "num_classes": 3} | {f"synthetic.{name}": size for name, size in small.items()}
    assert train(keys, tmp_path / "run")["videos"] == 2
