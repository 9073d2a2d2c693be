"""Examples keep a record exactly, and a build that breaks leaves no dataset."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from contextloc_jax.core.errors import InputError
from input_pipeline.datasets.builder import Contents, VideoDatasetBuilder, VideoDatasetConfig, example_spec, inputs_key
from tests.helpers.video_records import make_features, make_record, opened


class Tiny(VideoDatasetBuilder):
    """Writes the videos it is given; a video that is an exception is raised instead."""

    videos: tuple = ()

    def make_contents(self):
        def iterate():
            for video in self.videos:
                if isinstance(video, BaseException):
                    raise video
                yield video

        return Contents(splits={"train": (len(self.videos), iterate)})


def tiny_builder(data_dir, videos, feature_dtype="float16") -> Tiny:
    config = VideoDatasetConfig(name="tiny", feature_width=4, feature_dtype=feature_dtype, class_names=("a", "b", "c"))
    builder = Tiny(data_dir=str(data_dir), config=config, file_format="array_record")
    builder.videos = videos
    return builder


def assert_records_equal(got, expected):
    for field in dataclasses.fields(expected):
        left, right = getattr(got, field.name), getattr(expected, field.name)
        if isinstance(right, np.ndarray):
            assert left.dtype == right.dtype, field.name
            np.testing.assert_array_equal(left, right, err_msg=field.name, strict=True)
        else:
            assert left == right, field.name


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_examples_keep_every_field_exactly(tmp_path, dtype):
    rng = np.random.default_rng(0)
    records = [
        make_record("a", group="person01"),
        dataclasses.replace(make_record("b", group="g"), proposal_scores=rng.random(60), fps=29.970029970029973),
        make_record("no proposals", num_proposals=0, group="x"),
        make_record("vidéo/ 視頻", num_instances=0, group="y"),
        dataclasses.replace(make_record("d", num_proposals=0, group="z"), proposal_scores=np.zeros(0)),
    ]
    features = [rng.standard_normal((t, 4)).astype(dtype) for t in (1, 50, 7, 33, 2)]
    builder = tiny_builder(tmp_path, list(zip(records, features, strict=True)), feature_dtype=dtype)
    builder.download_and_prepare()
    source = opened(builder, "train")
    assert [r.video_id for r in source.records] == sorted(r.video_id for r in records)
    assert source.class_names == ["a", "b", "c"]
    assert source.feature_width == 4 and source.feature_dtype == dtype
    for index, got in enumerate(source.records):
        position = [r.video_id for r in records].index(got.video_id)
        assert_records_equal(got, records[position])
        np.testing.assert_array_equal(source.features(index), features[position], strict=True)
        assert source.num_snippets[index] == len(features[position])


def test_a_record_without_group_is_its_own_group(tmp_path):
    builder = tiny_builder(tmp_path, [(make_record("a"), make_features(5))])
    builder.download_and_prepare()
    assert opened(builder, "train").records[0].group == "a"


def test_a_build_that_breaks_leaves_no_dataset_and_the_next_one_finishes(tmp_path):
    good = (make_record("a"), make_features(5))
    for failure in (InputError("x.npy: expected [T, 4]"), KeyboardInterrupt()):
        with pytest.raises(type(failure)) as raised:
            tiny_builder(tmp_path, [good, failure]).download_and_prepare()
        assert str(raised.value).endswith(str(failure)) and "\n" not in str(raised.value)
        assert not Path(tiny_builder(tmp_path, []).data_dir).exists()
    builder = tiny_builder(tmp_path, [good])
    builder.download_and_prepare()
    assert len(opened(builder, "train")) == 1


def test_unknown_feature_dtype_is_named():
    with pytest.raises(InputError, match="feature_dtype is 'float64'"):
        example_spec(4, "float64")


def test_inputs_key_depends_on_values_not_on_order():
    assert inputs_key({"a": 1, "b": [2]}) == inputs_key({"b": [2], "a": 1})
    assert inputs_key({"a": 1}) != inputs_key({"a": 2})
