"""What compare and fuse read of an evaluated run."""

import pytest

from contextloc_jax.commands.compare import compare
from contextloc_jax.commands.fuse import fuse
from tests.helpers.scored_runs import evaluated, refused


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"protocol": 3, "data": {"identity": "x"}}', '{"protocol": "thumos14"}']
)
def test_damaged_metrics_are_one_line(tmp_path, content):
    a, b, out = evaluated(tmp_path / "a", 1), evaluated(tmp_path / "b", 2), tmp_path / "out"
    (b / "metrics.json").write_text(content)
    refused("metrics.json", out, fuse, str(out), f"a={a}:1,b={b}:1", None)
    refused("metrics.json", out, compare, str(out), f"{a},{b}", None)
