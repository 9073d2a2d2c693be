"""Sources: identity, cache, and groups that stay on one side of the validation split."""

import dataclasses
import threading

import numpy as np
import pytest

from contextloc_jax.core.errors import InputError
from input_pipeline.datasets.video_source import FeatureCache, source_from_arrays, split_validation
from tests.helpers.video_records import make_features, make_record, make_source


def grouped_source(groups, videos_per_group=2):
    records = [make_record(f"{g}_{i}", num_proposals=2, group=g) for g in groups for i in range(videos_per_group)]
    return source_from_arrays(records, [make_features(3)] * len(records), ["a"])


def test_identity_is_a_function_of_the_content():
    assert make_source().identity == make_source().identity
    assert len(make_source().identity) == 64 and int(make_source().identity, 16)


@pytest.mark.parametrize(
    "change",
    [
        {"fps": 29.0},
        {"video_id": "other"},
        {"group": "other"},
        {"num_frames": 801},
        {"gt_labels": np.array([1, 1, 3])},
        {"proposal_scores": np.zeros(60)},
        {"proposal_tiou": np.full(60, 0.25)},
    ],
)
def test_identity_sees_every_change_of_a_record(change):
    record = make_record("a")
    features = [make_features(5)]
    changed = dataclasses.replace(record, **change)
    assert (
        source_from_arrays([record], features, ["a"]).identity
        != source_from_arrays([changed], features, ["a"]).identity
    )


def test_identity_sees_features_and_class_names():
    records = [make_record("a")]
    features = make_features(5)
    other = features.copy()
    other[4, 3] += 1
    sources = [
        source_from_arrays(records, [features], ["a"]),
        source_from_arrays(records, [other], ["a"]),
        source_from_arrays(records, [features.astype(np.float32)], ["a"]),
        source_from_arrays(records, [features.reshape(10, 2)], ["a"]),
        source_from_arrays(records, [features], ["b"]),
    ]
    assert len({source.identity for source in sources}) == len(sources)


def test_select_keeps_videos_with_their_features():
    source = make_source()
    part = source.select([2, 0])
    assert [r.video_id for r in part.records] == ["v2", "v0"] and len(part) == 2
    np.testing.assert_array_equal(part.num_snippets, [70, 90])
    np.testing.assert_array_equal(part.features(0), source.features(2))
    np.testing.assert_array_equal(part.select([1]).features(0), source.features(0))
    assert part.identity != source.select([0, 2]).identity
    assert source.select([0, 1, 2]).identity == source.identity


@pytest.mark.parametrize(("fraction", "held"), [(0.01, 1), (0.15, 1), (0.3, 2), (0.5, 4), (0.9, 6)])
def test_validation_holds_out_whole_groups(fraction, held):
    source = grouped_source([f"person{p:02d}" for p in range(1, 8)])
    train, validation = split_validation(source, fraction)
    groups = [{r.group for r in part.records} for part in (train, validation)]
    assert len(groups[1]) == held and len(groups[0]) == 7 - held
    assert not groups[0] & groups[1]
    assert len(train) + len(validation) == len(source)
    again = split_validation(source, fraction)[1]
    assert [r.video_id for r in again.records] == [r.video_id for r in validation.records]


def test_validation_groups_do_not_depend_on_the_order_of_the_videos():
    groups = [f"person{p:02d}" for p in range(1, 8)]
    forward = split_validation(grouped_source(groups), 0.4)[1]
    backward = split_validation(grouped_source(groups[::-1]), 0.4)[1]
    assert {r.group for r in forward.records} == {r.group for r in backward.records}


def test_a_record_without_group_is_held_out_alone():
    source = make_source()
    train, validation = split_validation(source, 0.3)
    assert len(validation) == 1 and len(train) == 2


def test_no_validation_for_fraction_zero():
    source = make_source()
    train, validation = split_validation(source, 0.0)
    assert train is source and validation is None


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_wrong_fraction_is_refused(fraction):
    with pytest.raises(InputError, match="validation_fraction"):
        split_validation(make_source(), fraction)


def test_a_single_group_cannot_be_split():
    with pytest.raises(InputError, match="leaves no video to train on"):
        split_validation(grouped_source(["person01"], 5), 0.2)


def test_cache_reads_again_only_what_does_not_fit():
    reads = []

    def read(key):
        reads.append(key)
        return np.full(10, key, np.float32)  # 40 bytes

    cache = FeatureCache(read, budget_bytes=100)
    for key in (0, 1, 2, 0, 1, 2, 2):
        np.testing.assert_array_equal(cache.get(key), np.full(10, key))
    assert reads == [0, 1, 2, 2, 2]


def test_cache_never_counts_an_array_twice():
    barrier = threading.Barrier(4)

    def read(key):
        barrier.wait(5)
        return np.zeros(10, np.float32)

    cache = FeatureCache(read, budget_bytes=80)
    threads = [threading.Thread(target=cache.get, args=(7,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cache.offer(8, np.zeros(10, np.float32))
    barrier.abort()  # from here on, a read is an error
    cache.get(7)
    cache.get(8)
