"""`tocsin rules`: what it prints, and how it exits."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tocsin.cli.rules import app

GOOD = "title: good\nlogsource: {product: auth0}\ndetection: {s: {type: fp}, condition: s}\n"
WARNED = GOOD.replace("good", "warned").replace("fp", "fpp")
WRONG = (
    "title: wrong\nlevel: hgh\ndetection: {s: {u|contain: x}, condition: s}\nlogsource: {product: auth0}\n"
)
TESTED = GOOD + "tocsin: {tests: [{name: one, events: [{type: fp}], expect: [%s]}]}\n"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return tmp_path / "rules"


def _written(folder: Path, *texts: str) -> str:
    folder.mkdir()
    for number, text in enumerate(texts):
        (folder / f"{number}.yml").write_text(text)
    return str(folder)


def test_check_says_how_many_rules_are_well(rules: Path) -> None:
    result = CliRunner().invoke(app, ["check", _written(rules, GOOD)])

    assert (result.exit_code, result.output) == (0, "1 rule ok\n")


def test_check_prints_every_mistake_and_exits_1(rules: Path) -> None:
    result = CliRunner().invoke(app, ["check", _written(rules, GOOD, WRONG)])

    assert result.exit_code == 1
    assert result.output.splitlines() == [
        f'{rules}/1.yml:2:8: unknown level "hgh"; did you mean "high"?',
        f'{rules}/1.yml:3:17: unknown modifier "contain"; did you mean "contains"?',
        "2 errors; no rule was loaded",
    ]


def test_check_shows_what_a_hostile_file_says_without_obeying_it(rules: Path) -> None:
    text = GOOD + 'level: "\\e]0;owned\\a"\n'
    result = CliRunner().invoke(app, ["check", _written(rules, text)])

    assert 'unknown level "\\x1b]0;owned\\x07"' in result.output


@pytest.mark.parametrize(("options", "code"), [([], 0), (["--strict"], 1)])
def test_check_exits_1_for_a_warning_only_when_strict(rules: Path, options: list[str], code: int) -> None:
    result = CliRunner().invoke(app, ["check", _written(rules, GOOD, WARNED), *options])

    assert result.exit_code == code
    assert result.output.splitlines() == [
        f'{rules}/1.yml:3:23: warning: unknown auth0 event code "fpp"; did you mean "fp"?',
        "2 rules ok, 1 warning",
    ]


def test_check_reads_the_overlay(rules: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yml"
    overlay.write_text("godo: {enabled: false}\n")
    result = CliRunner().invoke(app, ["check", _written(rules, GOOD), "--overlay", str(overlay)])

    assert result.exit_code == 1
    assert 'there is no rule "godo"; did you mean "good"?' in result.output


def test_check_takes_lists_and_trusted_rules_from_a_config(rules: Path, tmp_path: Path) -> None:
    (tmp_path / "ours.txt").write_text("192.0.2.1\n")
    config = tmp_path / "tocsin.yml"
    config.write_text(f"lists: {{ours: {tmp_path}/ours.txt}}\n")
    text = GOOD.replace("type: fp", "ip|expand: '%ours%'")

    assert CliRunner().invoke(app, ["check", _written(rules, text)]).exit_code == 1
    assert CliRunner().invoke(app, ["check", str(rules), "--config", str(config)]).exit_code == 0


def test_test_says_how_many_ran_and_what_has_none(rules: Path) -> None:
    result = CliRunner().invoke(app, ["test", _written(rules, TESTED % "{}", GOOD.replace("good", "bare"))])

    assert (result.exit_code, result.output) == (0, "1 test; without a test: bare\n")


def test_test_tells_the_place_and_the_difference_of_a_failure(rules: Path) -> None:
    result = CliRunner().invoke(app, ["test", _written(rules, TESTED % "")])

    assert result.exit_code == 1
    assert result.output.splitlines() == [
        f"{rules}/0.yml:4: good: one",
        "    seen and not expected: at 0s, score 1, medium",
        "1 test, 1 failed",
    ]
