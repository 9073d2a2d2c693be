"""Proposals in CSV and ActivityNet JSON: what is read, round trips, skipped and refused content, format detection."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contextloc_jax.core.errors import InputError
from input_pipeline.formats.proposal_tables import (
    VideoProposals,
    proposal_format,
    read_proposal_csv,
    read_proposal_json,
    write_proposal_csv,
    write_proposal_json,
)
from input_pipeline.formats.values import ReadReport
from tests.helpers.fuzzing import FUZZ
from tests.helpers.golden_data import GOLDEN

CSV = "video_id,start_seconds,end_seconds,score\nb,1.5,3,0.9\na,0,2.25,0.1\nb,2,8,0.5\n"
RESULTS = {"b": [{"segment": [1.5, 3], "score": 0.9}, {"segment": [2, "8"], "score": 0.5}], "a": []}


def written(tmp_path: Path, content: object) -> Path:
    path = tmp_path / "proposals"
    data = json.dumps(content) if isinstance(content, dict | list) else content
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def assert_same(left: list[VideoProposals], right: list[VideoProposals]):
    assert [video.video_id for video in left] == [video.video_id for video in right]
    for video, again in zip(left, right, strict=True):
        np.testing.assert_array_equal(video.segments_seconds, again.segments_seconds)
        np.testing.assert_array_equal(video.scores, again.scores)
        assert (video.scores is None) == (again.scores is None)


def random_videos(scores: bool) -> list[VideoProposals]:
    rng = np.random.default_rng(7)
    starts = [rng.random((count, 1)) * 100 for count in (3, 1, 40)]
    return [
        VideoProposals(
            name, np.hstack([start, start + rng.random(start.shape)]), rng.normal(size=len(start)) if scores else None
        )
        for name, start in zip(("v_1", 'quoted, "id"', "é \x85b"), starts, strict=True)
    ]


def test_csv_collects_the_lines_of_a_video(tmp_path):
    b, a = read_proposal_csv(written(tmp_path, CSV))
    assert (b.video_id, a.video_id) == ("b", "a")
    assert b.segments_seconds.tolist() == [[1.5, 3], [2, 8]] and b.scores.tolist() == [0.9, 0.5]
    assert a.segments_seconds.tolist() == [[0, 2.25]] and a.segments_seconds.dtype == np.float64


def test_csv_finds_columns_by_name_and_ignores_others(tmp_path):
    (video,) = read_proposal_csv(written(tmp_path, "\ufeffT-End, label,Video-ID,t-start\r\n\r\n3, x, a b ,1\r\n"))
    assert video.video_id == "a b" and video.segments_seconds.tolist() == [[1, 3]] and video.scores is None
    assert read_proposal_csv(written(tmp_path, "video,start,end\n")) == []


def test_json_keeps_videos_without_proposals(tmp_path):
    b, a = read_proposal_json(written(tmp_path, {"version": "1.3", "results": RESULTS}))
    assert b.segments_seconds.tolist() == [[1.5, 3], [2, 8]] and b.scores.tolist() == [0.9, 0.5]
    assert a.segments_seconds.shape == (0, 2) and a.scores is None


def test_proposals_without_length_are_skipped_and_counted(tmp_path):
    report = ReadReport()
    (video,) = read_proposal_csv(written(tmp_path, "video,start,end,score\na,3,3,1\na,4,2,1\na,1,2,0\n"), report)
    assert video.segments_seconds.tolist() == [[1, 2]] and video.scores.tolist() == [0]
    assert report.count("proposal skipped: end <= start") == 2 and ":2 [3, 3]" in report.lines()[0]
    (video,) = read_proposal_json(written(tmp_path, {"results": {"a": [{"segment": [4, 2], "score": 1}]}}), report)
    assert video.segments_seconds.shape == (0, 2) and video.scores.shape == (0,)
    assert report.count("proposal skipped: end <= start") == 3


@pytest.mark.parametrize("scores", [False, True])
def test_written_proposals_read_the_same(tmp_path, scores):
    videos = random_videos(scores)
    write_proposal_csv(tmp_path / "p.csv", [*videos, VideoProposals("empty", np.zeros((0, 2)))])
    assert_same(read_proposal_csv(tmp_path / "p.csv"), videos)
    videos.append(VideoProposals("empty \ud800", np.zeros((0, 2))))
    write_proposal_json(tmp_path / "p.json", videos)
    assert_same(read_proposal_json(tmp_path / "p.json"), videos)


def test_csv_writer_refuses_what_it_could_not_read_back(tmp_path):
    mixed = [random_videos(True)[0], random_videos(False)[1]]
    with pytest.raises(InputError, match="has no proposal scores, others have"):
        write_proposal_csv(tmp_path / "p.csv", mixed)
    for bad_id in ("", " a", "a\nb", "a\r"):
        with pytest.raises(InputError, match="cannot be written to a CSV"):
            write_proposal_csv(tmp_path / "p.csv", [VideoProposals(bad_id, np.array([[0.0, 1.0]]))])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"video,start,end\n\xe9,1,2\n", ":2: byte 0xe9 is not UTF-8"),
        ("\n\n", ":1: no column 'video_id'"),
        ("a,1,2\n", r":1: no column 'video_id' in \['a', '1', '2'\], expected a header such as video_id,start_sec"),
        ("video,f-init,f-end\na,1,2\n", ":1: no column 'start_seconds'"),
        (CSV + "b,1\n", ":5: found 2 cells, expected 4"),
        (CSV + ",1,2,3\n", ":5: the video id is empty"),
        (CSV + "b,-1,2,3\n", ":5: start is '-1', expected seconds"),
        (CSV + "b,1,nan,3\n", ":5: end is 'nan', expected seconds"),
        (CSV + "b,1,1e12,3\n", ":5: end is '1e12', expected seconds"),
        (CSV + "b,1,2,high\n", ":5: score is 'high', expected a finite number"),
        (CSV + "b,1,2,inf\n", ":5: score is 'inf', expected a finite number"),
        (CSV + '"b,1,2,3\n', ":5: not valid CSV"),
        (CSV + "b" * 200_000 + ",1,2,3\n", ":5: not valid CSV"),
    ],
)
def test_bad_csv_is_named_by_line(tmp_path, content, message):
    with pytest.raises(InputError, match=message) as error:
        read_proposal_csv(written(tmp_path, content))
    assert "\n" not in str(error.value)


def with_proposal(**changes: object) -> dict:
    return {"results": {"clip": [{"segment": [0, 1], "score": 0.5}, {"segment": [1, 2], "score": 0.5} | changes]}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        ("{", ":1: not valid JSON"),
        ([], "no 'results'"),
        ({"database": {}}, "no 'results'"),
        ({"results": {}}, "no 'results'"),
        ({"results": {"clip": {}}}, "video 'clip': found {}, expected a list of proposals"),
        ({"results": {"clip": [3]}}, "video 'clip': found 3, expected {'segment'"),
        (with_proposal(segment=[2]), r"video 'clip': segment is \[2\]"),
        (with_proposal(segment=[-2, 1]), "video 'clip': segment start is -2"),
        (with_proposal(segment=[2, float("nan")]), "video 'clip': segment end is nan"),
        (with_proposal(score=10**400), "video 'clip': score is 1000"),
        (with_proposal(score=True), "video 'clip': score is True"),
        (with_proposal(score=None), "video 'clip': some proposals have a score and some have none"),
        ('{"results": {"a": [], "a": []}}', "'a' occurs twice"),
    ],
)
def test_bad_json_is_named_by_video(tmp_path, content, message):
    with pytest.raises(InputError, match=message) as error:
        read_proposal_json(written(tmp_path, content))
    assert "\n" not in str(error.value)


def test_formats_are_told_apart_by_content(tmp_path):
    assert proposal_format(written(tmp_path, CSV)) == "csv"
    assert proposal_format(written(tmp_path, {"results": RESULTS})) == "json"
    assert proposal_format(GOLDEN / "train_proposal_list.txt") == "list"
    assert proposal_format(written(tmp_path, "# by SSN\n\n# 1\na\n1\n1\n0\n0\n")) == "normalized"
    assert proposal_format(written(tmp_path, "# 1\nvideo\nnine\n1\n")) == "list"


CELLS = st.one_of(
    st.sampled_from(["a", "1", "2.5", "-1", "nan", "1e999", '"', '"x"', "", "\r", "\0", "b\n"]), st.text(max_size=4)
)
TABLES = st.lists(st.lists(CELLS, min_size=4, max_size=4).map(",".join), max_size=5).map("\n".join)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4), st.just(10**400))
KEYS = st.sampled_from(["results", "segment", "score", "v", "label"])
JSON = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner)), max_leaves=8
)
ENTRIES = st.lists(
    st.fixed_dictionaries(
        {"segment": st.one_of(st.lists(SCALARS, min_size=2, max_size=2), JSON)}, optional={"score": SCALARS}
    )
)


@FUZZ
@given(
    st.one_of(
        st.binary(max_size=60),
        TABLES.map(lambda table: ("video,start,end,score\n" + table).encode("utf-8", "surrogatepass")),
        JSON.map(lambda content: json.dumps(content).encode()),
        ENTRIES.map(lambda entries: json.dumps({"results": {"v": entries}}).encode()),
    )
)
def test_only_input_errors_escape_the_proposal_readers(tmp_path, content):
    path = written(tmp_path, content)
    for read in (read_proposal_csv, read_proposal_json, proposal_format):
        try:
            videos = read(path)
        except InputError as error:
            assert "\n" not in str(error)
            continue
        for video in videos if isinstance(videos, list) else ():
            assert (np.diff(video.segments_seconds) > 0).all() and np.isfinite(video.segments_seconds).all()
            assert video.scores is None or np.isfinite(video.scores).all()
