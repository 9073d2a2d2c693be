"""README and docs/ name only what exists: pages, files, rooms and keys of the configuration."""

import re
from pathlib import Path

import pytest

from configs import default
from tests.helpers.paths import ROOT

PAGES = [ROOT / "README.md", ROOT / "benchmarks" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
FILE = re.compile(r"(?<![\w./-])(?:[\w-]+/)+[\w-]+\.(?:py|md|svg|png|txt|toml)\b")
KEY = re.compile(r"(?<![\w/])config\.((?:[a-z_]+\.)*[a-z_]+)(?![\w/*])")
FILE_NAMES = {"json", "py"}  # of config.json and the like, which are no keys

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def missing_links(page: Path) -> list[str]:
    """Relative links to a file, or to a heading of a page, that is not there."""
    missing = []
    for target, anchor in LINK.findall(page.read_text()):
        if "://" in target:
            continue
        file = (page.parent / target) if target else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            missing.append(f"{target}#{anchor}" if anchor else target)
    return missing


def missing_files(page: Path) -> list[str]:
    """Paths in the text that exist neither from the root nor from the package, as docs/paper_to_code.md names them."""
    places = (ROOT, ROOT / "contextloc_jax", page.parent)
    text = re.sub(r"^```diff\n.*?^```$", "", page.read_text(), flags=re.M | re.S)  # a change may add a file
    return [name for name in FILE.findall(text) if not any((place / name).exists() for place in places)]


def unknown_keys(page: Path) -> list[str]:
    """Keys config.SECTION.NAME in the text that configs/default.py does not have."""
    unknown = []
    for name in KEY.findall(page.read_text()):
        section = default.get_config()
        for part in name.split("."):
            section = section.get(part, KeyError) if hasattr(section, "get") else KeyError
        if section is KeyError and name not in FILE_NAMES:
            unknown.append(name)
    return unknown


@pages
def test_links_lead_to_pages_and_headings(page):
    assert missing_links(page) == []


@pages
def test_named_files_exist(page):
    assert missing_files(page) == []


@pages
def test_named_settings_exist(page):
    assert unknown_keys(page) == []


def test_the_picture_and_the_layout_show_every_room():
    rooms = {folder.name for package in ("contextloc_jax", "input_pipeline") for folder in (ROOT / package).iterdir()
             if folder.is_dir() and any(folder.glob("*.py"))}  # fmt: skip
    assert "core" in rooms
    for name in ("ARCHITECTURE.md", "rooms.svg"):
        text = (ROOT / "docs" / name).read_text()
        assert [room for room in sorted(rooms) if f"{room}/" not in text] == [], name


def test_the_readers_see_what_is_missing(tmp_path):
    """Else the tests above would pass on anything."""
    page = tmp_path / "page.md"
    page.write_text(
        "# A heading\n[a](other.md) [b](#a-heading) [c](#none) [d](https://example.org/x.md)\n"
        "`core/files.py` `core/none.py` and none/at_all.py; config.json, `config.batch_size`, "
        "`--config.detection.top_k=3`, `config.detection.none`, `config.nothing`\n"
    )
    assert missing_links(page) == ["other.md", "#none"]
    assert missing_files(page) == ["core/none.py", "none/at_all.py"]
    assert unknown_keys(page) == ["detection.none", "nothing"]
