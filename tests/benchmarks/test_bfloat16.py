"""The table of bfloat16 beside float32."""

from benchmarks.bfloat16 import table as bfloat16_table


def test_differences_to_float32_are_of_pairs():
    lines = bfloat16_table({0: (80.0, 80.25, 81.0), 1: (70.0, 69.75, 70.5), 2: (60.0, 60.0, 60.0)})
    assert lines[2] == "| 0 | 80.00 | 80.25 | 81.00 |"
    assert lines[-2:] == ["| mean | 70.00 | 70.00 | 70.50 |", "| mean difference |  | +0.00 ± 0.14 | +0.50 ± 0.29 |"]
    assert bfloat16_table({0: (80.0, 80.25, 81.0)})[-1] == "| mean difference |  | +0.25 | +1.00 |"
