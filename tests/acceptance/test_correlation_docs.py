"""Every rule in docs/correlations loads, and passes the tests that stand beside it; every type has a page."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tocsin.rules.correlations import CORRELATIONS
from tocsin.rules.load import load
from tocsin.tune.ruletests import run_cases

PAGES = Path(__file__).parents[2] / "docs" / "correlations"
_YAML = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PICTURE = re.compile(r"!\[[^\]]+\]\(([^)]+\.svg)\)")


def _pages() -> list[Path]:
    return sorted(page for page in PAGES.glob("*.md") if page.stem != "README")


@pytest.mark.parametrize("page", _pages(), ids=lambda page: page.stem)
def test_the_rules_of_a_page_load_and_pass_their_tests(page: Path, tmp_path: Path) -> None:
    tested = 0
    for number, text in enumerate(_YAML.findall(page.read_text(encoding="utf-8"))):
        file = tmp_path / f"{page.stem}-{number}.yml"
        file.write_text(text, encoding="utf-8")
        loaded = load([file])
        assert not loaded.ruleset.not_running
        outcomes = list(run_cases(loaded))
        assert [mistake for outcome in outcomes for mistake in outcome.mistakes] == []
        tested += len(outcomes)

    assert tested, "the example of a page is proven by a test in it"


@pytest.mark.parametrize("page", _pages(), ids=lambda page: page.stem)
def test_a_page_has_a_picture_that_is_there_and_sound(page: Path) -> None:
    pictures = _PICTURE.findall(page.read_text(encoding="utf-8"))

    assert pictures
    for picture in pictures:
        root = ET.parse(page.parent / picture).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"


def test_every_type_has_its_page() -> None:
    told = "\n".join(page.read_text(encoding="utf-8") for page in _pages())

    assert [kind for kind in CORRELATIONS if f"type: {kind}" not in told] == []
