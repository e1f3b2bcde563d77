"""List files for `|expand`: what a line is, and where its mistakes are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.errors import RuleErrors
from tocsin.rules.load import load

HEAD = "title: one\nname: one\nlogsource: {product: auth0}\n"


def told(folder: Path, item: str, texts: str) -> list[str]:
    """The mistakes, then the warnings, of a rule with that item and the list `names`."""
    (folder / "rule.yml").write_text(f"{HEAD}detection: {{s: {{{item}}}, condition: s}}\n")
    (folder / "names.txt").write_text(texts)
    try:
        found = load([folder / "rule.yml"], lists={"names": folder / "names.txt"}).ruleset.warnings
    except RuleErrors as exc:
        found = (*exc.errors, *exc.warnings)
    return [str(one).replace(f"{folder.as_posix()}/", "") for one in found]


@pytest.mark.parametrize(
    ("item", "texts", "line", "message"),
    [
        ("ip|cidr|expand: '%names%'", "# ours\n10.0.0.0/8\n\n84.1.0.1/16 # Bonn\n", 4, "84.1.0.1/16"),
        ("user_name|re|expand: '^%names%$'", "ann\n(bob\n", 2, "no regular expression"),
        ("type|expand: '%names%'", "fp\nfq\n", 2, 'unknown auth0 event code "fq"'),
    ],
    ids=["a network", "a regular expression", "an event code"],
)
def test_a_bad_value_is_told_with_its_line_in_the_list(
    tmp_path: Path, item: str, texts: str, line: int, message: str
) -> None:
    (one,) = told(tmp_path, item, texts)

    assert one.startswith("rule.yml:4:")
    assert f": names.txt:{line}: " in one
    assert message in one


def test_a_bad_value_of_the_rule_itself_names_no_list(tmp_path: Path) -> None:
    (one,) = told(tmp_path, "ip|cidr: 84.1.0.1/16", "a\n")

    assert "names.txt" not in one
