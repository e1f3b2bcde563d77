"""List files for `|expand`: what a line is, and where its mistakes are told."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tocsin.errors import RuleErrors
from tocsin.rules.detection import placeholders, selection
from tocsin.rules.load import load

from .conftest import does_match

README = Path(__file__).parents[3] / "rules" / "README.md"
VIPS = "\ufeff# the board\n\nann@example.com\nb*b@example.com   # with a star\n"
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


def _vips(folder: Path, *changes: tuple[str, str]) -> Callable[[str, str], bool]:
    """The example of rules/README.md, with the list that it speaks of."""
    (block,) = re.findall(r"```yml\n(detection:.*?%vips%.*?)```", README.read_text(), re.DOTALL)
    for before, after in changes:
        assert before in block
        block = block.replace(before, after)
    (folder / "rule.yml").write_text(HEAD + block)
    (folder / "vips.txt").write_text(VIPS, encoding="utf-8")
    ruleset = load([folder / "rule.yml"], lists={"vips": folder / "vips.txt"}).ruleset
    return lambda user, agent: does_match(ruleset, {"type": "fp", "user_name": user, "user_agent": agent})


@pytest.mark.parametrize(
    ("user", "agent", "found"),
    [
        ("ann@example.com", "curl/8", True),
        ("b*b@example.com", "curl/8", True),
        ("bob@example.com", "curl/8", False),
        ("ann@example.com", "helpdesk/2", False),
        ("ann@example.com", "Kiosk/1", False),
        ("ann@example.com", "old helpdesk/2", True),
    ],
)
def test_a_list_and_a_param_stand_for_their_texts(tmp_path: Path, user: str, agent: str, found: bool) -> None:
    matches = _vips(tmp_path)

    assert matches(user, agent) is found


def test_the_place_of_expand_among_the_modifiers_changes_nothing(tmp_path: Path) -> None:
    matches = _vips(tmp_path, ("startswith|expand", "expand|startswith"))

    assert not matches("ann@example.com", "helpdesk/2")
    assert matches("ann@example.com", "old helpdesk/2")


def test_a_star_beside_the_placeholder_is_a_wildcard(tmp_path: Path) -> None:
    matches = _vips(tmp_path, ("'%vips%'", "'%vips%*'"))

    assert matches("ann@example.com.au", "curl/8")
    assert not matches("bob@example.com.au", "curl/8")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("bob#EXT#@t.example", "bob#EXT#@t.example"),
        ("bob#EXT#@t.example # a guest", "bob#EXT#@t.example"),
        ("bob\t# a tab", "bob"),
        ("#bob", None),
        ("  # bob", None),
        ("bob #", "bob"),
    ],
)
def test_a_comment_begins_a_line_or_follows_a_blank(tmp_path: Path, line: str, text: str | None) -> None:
    (tmp_path / "rule.yml").write_text(f"{HEAD}detection: {{s: {{u|expand: '%names%'}}, condition: s}}\n")
    (tmp_path / "names.txt").write_text(f"{line}\nother\n")
    ruleset = load([tmp_path / "rule.yml"], lists={"names": tmp_path / "names.txt"}).ruleset

    tried = [text, "bob", "bob#EXT#@t.example"]
    assert [does_match(ruleset, {"type": "fp", "u": one}) for one in tried] == [
        one is not None and one == text for one in tried
    ]


EMPTY = "'%names%' stands for no text, because its list is empty; write a line there"


@pytest.mark.parametrize(
    "key", ["u|expand", "u|expand|all", "u|re|expand|all", "'|expand|all'", "ip|cidr|expand"]
)
def test_an_empty_list_matches_nothing_and_is_told(tmp_path: Path, key: str) -> None:
    (one,) = told(tmp_path, f"{key}: '%names%'", "# nobody\n")
    ruleset = load([tmp_path / "rule.yml"], lists={"names": tmp_path / "names.txt"}).ruleset

    assert one.endswith(f": warning: {EMPTY}")
    assert not does_match(ruleset, {"type": "fp", "u": "", "ip": "192.0.2.1"})
    assert len(ruleset.rules) == 1


def test_an_item_that_is_dropped_without_a_word_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "_combined", lambda _tests, _chain: None)

    assert told(tmp_path, "u: x", "") == [
        'rule.yml:4:17: "u" cannot be read; compare it with the documentation'
    ]


@pytest.mark.parametrize(("most", "mistakes"), [(9, []), (8, ["8"]), (5, ["5"])])
def test_all_expanded_texts_of_a_file_are_counted_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, mistakes: list[str]
) -> None:
    monkeypatch.setattr(placeholders, "MOST_OF_A_FILE", most)
    some = "---\ntitle: f\nlogsource: {product: auth0}\n"
    some += "filter: {rules: any, o: {v|expand: '%names%'}, condition: not o}\n"
    other = HEAD.replace("one", "two") + "detection: {s: {u|expand: ['%names%', '%names%']}, condition: s}\n"
    (tmp_path / "rule.yml").write_text(f"{other}---\n{HEAD}detection: {{s: {{u: x}}, condition: s}}\n{some}")
    (tmp_path / "names.txt").write_text("a\nb\nc\n")

    errors = []
    try:
        load([tmp_path / "rule.yml"], lists={"names": tmp_path / "names.txt"})
    except RuleErrors as exc:
        errors = [error.message for error in exc.errors]

    assert errors == [
        f"from here on |expand stands for more than {one} texts in this file; split it" for one in mistakes
    ]
