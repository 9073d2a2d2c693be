"""The table of the benchmarks, and the section of a page that it replaces."""

import pytest

from benchmarks.table import table, write_section


def test_a_table_has_the_columns_that_any_case_has():
    lines = table({"a": {"seconds": 2, "videos_per_second": 1234.5}, "b": {"seconds": 0.5, "not_shown": 1}})
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line]
    assert cells == [["case", "seconds", "videos/s"], ["a", "2", "1,234"], ["b", "0.5", ""]]


def test_a_section_is_replaced_and_the_rest_of_the_page_stays(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- table -->\nold\n<!-- end of table -->\nafter\n")
    write_section(page, "table", ["new", "rows"])
    assert page.read_text() == "before\n<!-- table -->\nnew\nrows\n<!-- end of table -->\nafter\n"
    with pytest.raises(SystemExit, match="no section"):
        write_section(page, "absent", [])
