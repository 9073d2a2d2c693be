"""Proposal lists: round trips, the rules, every kind of bad line, and the real ActivityNet v1.2 list."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contextloc_jax.core.errors import InputError
from input_pipeline.formats.proposal_list import (
    normalize,
    read_normalized_list,
    read_normalized_proposal_list,
    read_proposal_list,
    write_normalized_list,
    write_proposal_list,
)
from input_pipeline.formats.values import ReadReport
from input_pipeline.videos.records import VideoRecord
from tests.helpers.fuzzing import FUZZ
from tests.helpers.published import FPS

LIST = """# 1
/data/frames/first
100
1
1
2 10 40
3
2 0.9000 0.9500 11 40
0 0.0000 0.0000 60 70
2 0.3333 1.0000 20 30
# 2
second
50.5
2
0
0
"""


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "list.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def assert_same(left, right):
    for field in dataclasses.fields(left):
        np.testing.assert_array_equal(getattr(right, field.name), getattr(left, field.name), field.name)


def random_record(rng: np.random.Generator, video_id: str, scores: bool) -> VideoRecord:
    num_frames, instances, proposals = int(rng.integers(40, 9000)), int(rng.integers(4)), int(rng.integers(6))

    def segments(count):
        start = rng.integers(0, num_frames - 1, count)
        return np.column_stack([start, rng.integers(start + 1, num_frames + 1, count)]).astype(np.int64)

    segment = segments(proposals)
    reach = np.where(segment[:, 1] == num_frames, 7, 0)  # some were clipped
    return VideoRecord(
        video_id=video_id,
        num_frames=num_frames,
        fps=25.0,
        gt_labels=rng.integers(1, 5, instances),
        gt_segments=segments(instances),
        proposals=segment,
        proposal_labels=rng.integers(0, 5, proposals),
        proposal_tiou=rng.random(proposals),
        proposal_overlap_self=np.round(rng.random(proposals), 4),
        proposal_coverage=(segment[:, 1] + reach - segment[:, 0]) / num_frames,
        proposal_scores=rng.random(proposals) if scores and proposals else None,
        group=video_id,
    )


def test_reads_ids_frames_columns_and_empty_videos(tmp_path):
    first, second = read_proposal_list(written(tmp_path, LIST), fps=25.0)
    assert (first.video_id, first.num_frames, first.fps, first.duration_seconds) == ("first", 100, 25.0, 4.0)
    np.testing.assert_array_equal(first.gt_labels, [2])
    np.testing.assert_array_equal(first.gt_segments, [[10, 40]])
    np.testing.assert_array_equal(first.proposals, [[11, 40], [60, 70], [20, 30]])
    np.testing.assert_array_equal(first.proposal_labels, [2, 0, 2])
    np.testing.assert_array_equal(first.proposal_tiou, [0.9, 0, 0.3333])
    np.testing.assert_array_equal(first.proposal_overlap_self, [0.95, 0, 1])
    np.testing.assert_array_equal(first.proposal_coverage, [0.29, 0.1, 0.1])
    assert first.proposal_scores is None
    assert (second.video_id, second.num_frames) == ("second", 101)
    assert second.proposals.shape == second.gt_segments.shape == (0, 2)
    assert first.proposals.dtype == first.gt_segments.dtype == first.gt_labels.dtype == np.int64


def test_layout_that_editors_leave_is_tolerated(tmp_path):
    records = read_proposal_list(written(tmp_path, LIST), FPS)
    messy = "\ufeff# from our generator\n" + LIST.replace("\n", "  \r\n").replace("100", "\r\n100")
    for record, again in zip(records, read_proposal_list(written(tmp_path, messy), FPS), strict=True):
        assert_same(record, again)


@pytest.mark.parametrize("scores", [False, True])
def test_records_survive_writing(tmp_path, scores):
    rng = np.random.default_rng(3)
    records = [random_record(rng, f"video {i}", scores) for i in range(40)]
    write_proposal_list(tmp_path / "list.txt", records)
    for record, again in zip(records, read_proposal_list(tmp_path / "list.txt", fps=25.0), strict=True):
        assert_same(record, again)


def test_records_survive_normalizing(tmp_path):
    rng = np.random.default_rng(4)
    records = [random_record(rng, f"video{i}", True) for i in range(200)]
    write_normalized_list(tmp_path / "list.txt", map(normalize, records))
    again = read_normalized_proposal_list(tmp_path / "list.txt", None, fps=25.0)
    for record, read in zip(records, again, strict=True):
        lengths = record.proposals[:, 1] - record.proposals[:, 0]  # a fraction has no unclipped end
        assert_same(dataclasses.replace(record, proposal_coverage=lengths / record.num_frames), read)


def test_normalized_list_needs_frame_counts(tmp_path):
    path = written(tmp_path, "# 1\na\n1\n1\n1\n3 0.1000 0.5000\n2\n3 0.5 0.5 0.25 0.7499\n0 0 0 0.5001 0.5002\n")
    report = ReadReport()
    (record,) = read_normalized_proposal_list(path, {"a": 1000}, FPS, report=report)
    np.testing.assert_array_equal(record.gt_segments, [[100, 500]])
    np.testing.assert_array_equal(record.proposals, [[250, 749]])
    assert report.count("proposal skipped: end <= start") == 1 and f"{path}:9 (a)" in report.lines()[0]
    for counts in (None, {}, {"a": 0}):
        with pytest.raises(InputError, match=rf"{path}:2: a has no frame count"):
            read_normalized_proposal_list(path, counts, FPS)


def replace_line(number: int, text: str) -> str:
    lines = LIST.splitlines()
    lines[number - 1] = text
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "list.txt: the file is empty"),
        (b"\n \n", ":1: .*expected a proposal list"),
        ("first\n" + LIST, ":1: found 'first', expected a proposal list"),
        (b"# 1\nvid\xff\n", ":2: byte 0xff is not UTF-8"),
        (LIST + "# 3\n", ":17: the list ends with a '#' line: is the file truncated"),
        (LIST[: LIST.index("0 0.0000")], ":7: '3' proposal lines announced, 1 lines follow: is the file truncated"),
        (LIST[: LIST.index("\n0\n0\n") + 3], ":15: the group ends here, expected the number of proposal lines"),
        (replace_line(5, "9999999999999999999"), ":5: '9999999999999999999' ground-truth lines announced, 5 lines"),
        (replace_line(5, "-1"), ":5: found '-1', expected the number of ground-truth lines"),
        (replace_line(7, "2"), ":10: found '2 0.3333 1.0000 20 30', expected the '#' line of the next video"),
        (replace_line(2, "/"), ":2: found '/', expected a video id"),
        (replace_line(12, "x/first"), ":12: video 'first' was listed at line 2 already"),
        (replace_line(3, "nan"), ":3: found 'nan' and '1', expected a frame count"),
        (replace_line(3, "1e400"), ":3: found '1e400'"),
        (replace_line(4, "0"), ":3: found '100' and '0'"),
        (replace_line(6, "2 10"), ":6: found '2 10', expected 3 finite numbers"),
        (replace_line(6, "2 10 nan"), ":6: .*expected 3 finite numbers"),
        (replace_line(6, "2 10 forty"), ":6: .*expected 3 finite numbers"),
        (replace_line(6, "0 10 40"), ":6: '0 10 40' has an unknown label: expected a whole number from 1 to 4"),
        (replace_line(6, "5 10 40"), ":6: .*unknown label"),
        (replace_line(6, "1.5 10 40"), ":6: .*unknown label"),
        (replace_line(6, "2 -1 40"), ":6: .*negative frame"),
        (replace_line(6, "2 10 1e300"), ":6: .*not a whole frame"),
        (replace_line(8, "2 0.9 0.95 0.1 0.4"), ":8: .*not a whole frame .*SSN normalized list"),
        (replace_line(8, "2 1.5 0.95 11 40"), r":8: .*outside \[0, 1\]"),
        (replace_line(9, "-1 0 0 60 70"), ":9: .*unknown label"),
        (replace_line(9, "0 0 0 60 70 0.5"), ":9: .*expected 5 finite numbers"),
        (replace_line(9, "0 0 0 60 inf"), ":9: .*expected 5 finite numbers"),
    ],
)
def test_bad_lists_are_named_by_line(tmp_path, content, message):
    with pytest.raises(InputError, match=message) as error:
        read_proposal_list(written(tmp_path, content), FPS, num_classes=4)
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


def test_normalized_list_refuses_frames_and_names_the_line(tmp_path):
    with pytest.raises(InputError, match=r":6: .*expected fractions of the video: is it a P-GCN list"):
        read_normalized_list(written(tmp_path, LIST))


def test_a_missing_list_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "absent.txt", tmp_path, "a\0b", "a\ud800"):
        with pytest.raises(InputError, match="cannot be read"):
            read_proposal_list(path, FPS)


def test_a_refused_write_leaves_the_old_list(tmp_path):
    rng = np.random.default_rng(5)
    path = written(tmp_path, LIST)
    for bad_id in ("", "#4", "a/b", "a\nb", " a"):
        with pytest.raises(InputError, match="video id"):
            write_proposal_list(path, [random_record(rng, "good", False), random_record(rng, bad_id, False)])
    with pytest.raises(InputError, match="cannot be written"):
        write_proposal_list(path, [random_record(rng, "lone \ud800", False)])
    assert path.read_text() == LIST and list(tmp_path.iterdir()) == [path]
    with pytest.raises(InputError, match="cannot be written"):
        write_proposal_list(tmp_path / "no folder" / "list.txt", [])


WORDS = ["# 1", "a", "b/c", "/", "1", "0", "2", "100", "0.5", "-1", "nan", "1e999", "9" * 400, "1_0", "١", "\x85", ""]
ROWS = ["1 2 3", "1 3 2", "0 0 0 1 2", "1 .5 1 -4 90", "1 0.1 0.2 0.3 0.4", "1 1 1 5 900 0.1", "1 2 \x00"]
LINES = st.sampled_from(WORDS + ROWS)


@FUZZ
@given(st.one_of(st.binary(max_size=200), st.lists(st.one_of(LINES, st.text(max_size=8)), max_size=25).map("\n".join)))
@example("# 1\na\n100\n1\n0\n1\n0 0 0 1 2")
def test_only_input_errors_escape_the_list_readers(tmp_path, content):
    path = written(tmp_path, content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    readers = (
        lambda: read_proposal_list(path, FPS),
        lambda: read_normalized_list(path),
        lambda: read_normalized_proposal_list(path, None, FPS),
    )
    for read in readers:
        try:
            videos = read()
        except InputError as error:
            assert "\n" not in str(error)
        else:
            assert videos


@FUZZ
@given(st.data())
def test_damaged_lists_give_input_errors_or_valid_records(tmp_path, data):
    """One or two edits of a good list, which get further into the parser than noise does."""
    lines = LIST.splitlines()
    for _ in range(data.draw(st.integers(1, 2))):
        index = data.draw(st.integers(0, len(lines) - 1))
        lines[index : index + data.draw(st.integers(0, 2))] = data.draw(st.lists(LINES, max_size=2))
    try:
        records = read_proposal_list(written(tmp_path, "\n".join(lines)), FPS)
    except InputError:
        return
    for record in records:
        assert (record.proposals[:, 0] < record.proposals[:, 1]).all()
        assert (record.proposals >= 0).all() and (record.proposals <= record.num_frames).all()
        assert np.isfinite(record.proposal_coverage).all()


@pytest.fixture(scope="module")
def real_list() -> Path:
    path = Path(os.environ.get("CONTEXTLOC_DATA", "absent")) / "activitynet12_tag_val_normalized_proposal_list.txt"
    if not path.exists():
        pytest.skip("CONTEXTLOC_DATA is unset, or lacks the ActivityNet v1.2 list")
    return path


def test_the_real_list_is_read_whole_and_written_back(real_list, tmp_path):
    videos = read_normalized_list(real_list, num_classes=100)
    widths = [len(line.split()) for line in real_list.read_text().splitlines() if not line.startswith("#")]
    assert len(videos) == real_list.read_text().count("# ") == 2383
    assert sum(len(video.gt_labels) for video in videos) == widths.count(3) == 3582
    assert sum(len(video.proposal_labels) for video in videos) == widths.count(5) == 120148
    write_normalized_list(tmp_path / "list.txt", videos)
    assert (tmp_path / "list.txt").read_bytes() == real_list.read_bytes()


def test_the_real_list_in_frames_counts_its_empty_instances(real_list, tmp_path):
    report = ReadReport()
    counts = {video.video_id: 3000 + i for i, video in enumerate(read_normalized_list(real_list))}
    records = read_normalized_proposal_list(real_list, counts, FPS, report=report)
    rows = [line.split() for line in real_list.read_text().splitlines() if len(line.split()) == 3]
    empty = sum(end <= start for _, start, end in rows)  # as text: all have the same four decimals
    assert report.count("ground truth skipped: end <= start") == empty == 14
    assert sum(len(record.gt_labels) for record in records) == 3582 - 14
    write_proposal_list(tmp_path / "list.txt", records)
    for record, again in zip(records, read_proposal_list(tmp_path / "list.txt", FPS), strict=True):
        assert_same(record, again)
