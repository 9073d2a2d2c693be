"""What a protocol means, and how it is found by its name."""

import pytest

from contextloc_jax.core.errors import InputError
from contextloc_jax.core.protocols import PROTOCOLS, find_protocol, threshold_keys

each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=lambda protocol: protocol.name)


@each_protocol
def test_the_special_thresholds_of_a_protocol_are_among_its_thresholds(protocol):
    assert list(protocol.thresholds) == sorted(set(protocol.thresholds))
    for some in (protocol.averaged, protocol.quoted, protocol.diagnosed):
        assert some and set(some) <= set(protocol.thresholds)
    assert protocol.diagnosed[0] == 0.5  # the report's verdicts


@each_protocol
def test_every_bin_but_the_last_has_an_edge(protocol):
    assert list(protocol.bins) == ["length", "coverage", "instances", "context"]
    for bins in protocol.bins.values():
        assert len(bins.edges) == len(bins.names) - 1 and list(bins.edges) == sorted(set(bins.edges))


def test_the_published_thresholds_and_averages():
    thumos14, activitynet = PROTOCOLS["thumos14"], PROTOCOLS["activitynet"]
    assert thumos14.averaged == (0.3, 0.4, 0.5, 0.6, 0.7)
    assert activitynet.averaged == activitynet.thresholds == pytest.approx([0.5 + 0.05 * i for i in range(10)])


def test_thresholds_are_written_with_the_fewest_digits():
    assert PROTOCOLS["thumos14"].keys == [f"0.{tenth}" for tenth in range(1, 10)]
    assert PROTOCOLS["activitynet"].keys[:3] == threshold_keys([0.5, 0.55, 0.6]) == ["0.5", "0.55", "0.6"]


@each_protocol
def test_a_protocol_is_found_by_its_name_and_is_found_itself(protocol):
    assert find_protocol(protocol.name) is protocol is find_protocol(protocol)


@pytest.mark.parametrize("name", ["THUMOS14", "", "activitynet13"])
def test_an_unknown_protocol_is_one_line_that_lists_those_there_are(name):
    with pytest.raises(InputError, match=rf"^protocol '{name}' is unknown; expected one of thumos14, activitynet$"):
        find_protocol(name)
