"""Mistakes of rule files, and what a person is told of each: place, thing, way out."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tocsin.errors import RuleErrors
from tocsin.rules.correlations import CORRELATIONS
from tocsin.rules.correlations.kind import Reading
from tocsin.rules.load import load_rules

BLOCKS = re.split(r"^=== ", Path(__file__).with_name("mistakes.txt").read_text(), flags=re.MULTILINE)[1:]
# The correlation types that a Sigma document may name, as a message lists them.
SIGMA = [name for name, kind in CORRELATIONS.items() if kind.sigma]
TYPES, BY_NAME = ", ".join(SIGMA), ", ".join(sorted(SIGMA))


def _told(paths: list[Path], folder: Path) -> list[str]:
    with pytest.raises(RuleErrors) as caught:
        load_rules(paths)
    return [str(error).replace(f"{folder.as_posix()}/", "") for error in caught.value.errors]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.partition("\n")[0])
def test_a_mistake_is_told_with_its_place_and_the_way_out(tmp_path: Path, block: str) -> None:
    lines = block.splitlines(keepends=True)[1:]
    told = [line.removeprefix(">>> ").rstrip("\n") for line in lines if line.startswith(">>> ")]
    expected = [line.replace("{TYPES}", TYPES).replace("{TYPES BY NAME}", BY_NAME) for line in told]
    text = "".join(line for line in lines if not line.startswith(">>> "))
    file = tmp_path / "rule.yml"
    file.write_text(text.removesuffix("\n") if text.endswith("\n\n") else text)

    assert _told([file], tmp_path) == expected


def test_there_are_many_mistakes_and_each_is_told_with_a_way_out() -> None:
    messages = [line for block in BLOCKS for line in block.splitlines() if line.startswith(">>> ")]

    assert len(BLOCKS) >= 190
    assert len({block.partition("\n")[0] for block in BLOCKS}) == len(BLOCKS)
    assert all(re.match(r">>> rule\.yml:[0-9]+:[0-9]+: \S", message) for message in messages)
    # A sentence that says what is wrong, and after the semicolon or in "must be" what is right.
    hints = re.compile(
        r"; |must be|needs|like|compares|takes true|may have|expected|is empty|is more than|deeper than"
        "|joined by|template:"
    )
    assert [message for message in messages if not hints.search(message)] == []


def test_every_mistake_of_every_file_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("title: a\nlevel: hgh\ndetection: {s: {u|contain: x}, condition: t}\n")
    (tmp_path / "b.yml").write_text("title: b\n---\ntitle: 'c\n")

    told = _told([tmp_path], tmp_path)

    assert [message.split(" ")[0] for message in told] == [
        "a.yml:2:8:",
        "a.yml:3:17:",
        "a.yml:3:43:",
        "b.yml:1:1:",
        "b.yml:3:8:",
    ]


def test_text_that_is_not_utf_8_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "rule.yml"
    file.write_bytes(b"title: t\ndescription: \xff\n")

    assert _told([file], tmp_path) == ["rule.yml:2:1: the text is not UTF-8; save the file as UTF-8"]


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    expected = "absent.yml:1:1: the file cannot be read: No such file or directory; check the path"

    assert _told([tmp_path / "absent.yml"], tmp_path) == [expected]


def test_a_file_too_large_is_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "rule.yml"
    file.write_bytes(b"#" * (1024 * 1024 + 1))

    assert _told([file], tmp_path) == [
        "rule.yml:1:1: the file has 1048577 bytes; a rule file may have 1048576"
    ]


def test_a_name_that_two_alerting_rules_share_is_told_with_both_places(tmp_path: Path) -> None:
    for name in ("a.yml", "b.yml"):
        (tmp_path / name).write_text("title: t\nname: same\ndetection: {s: {u: x}, condition: s}\n")

    assert _told([tmp_path], tmp_path) == [
        'b.yml:2:1: "same" is what a.yml:2 is called, too; give one another name'
    ]


def test_an_ambiguous_global_name_is_told_with_its_places(tmp_path: Path) -> None:
    for name in ("a.yml", "b.yml"):
        (tmp_path / name).write_text("title: t\nname: same\ndetection: {s: {u: x}, condition: s}\n")
    (tmp_path / "c.yml").write_text(
        "title: c\ncorrelation: {type: event_count, rules: [same], timespan: 1h, condition: {gte: 2}}\n"
    )

    assert 'c.yml:2:42: "same" is the name of several rules: a.yml:2, b.yml:2; use an id' in _told(
        [tmp_path], tmp_path
    )


def test_a_mistake_of_a_base_rule_is_not_told_again_of_its_correlation(tmp_path: Path) -> None:
    (tmp_path / "rule.yml").write_text(
        "title: t\nname: base\ndetection: [wrong]\n---\n"
        "title: c\ncorrelation: {type: event_count, rules: [base], timespan: 1h, condition: {gte: 2}}\n"
    )

    assert _told([tmp_path], tmp_path) == ["rule.yml:3:12: detection must be a map; this is a list"]


HOSTILE = {
    "a long value": "    s: {u|re: '" + "(a{1,1000})" * 50_000 + "'}\n    condition: s\n",
    "a long condition": "    s: {u: x}\n    condition: " + " or ".join(["s"] * 100_000) + "\n",
    "many negations": "    s: {u: x}\n    condition: " + "not " * 100_000 + "s\n",
    "brackets": "    s: {u: x}\n    condition: " + "(" * 100_000 + "s\n",
    "placeholders that multiply": (
        "    s: {u|expand: '" + "%p%" * 99 + "'}\n    condition: s\n"
        "tocsin: {params: {p: {default: [a, b]}}}\n"
    ),
    "placeholders of many values": (
        "    s: {u|expand: ["
        + ", ".join(f"'%p%%p%x{i}'" for i in range(100))
        + "]}\n    condition: s\ntocsin: {params: {p: {default: ["
        + ", ".join(f"u{i}" for i in range(300))
        + "]}}}\n"
    ),
    "many unknown rules": (
        "    s: {u: x}\n    condition: s\n"
        + "".join(
            f"---\ntitle: b\nname: b{i}\ndetection: {{s: {{u: x}}, condition: s}}\n" for i in range(500)
        )
        + "---\ntitle: c\ncorrelation: {type: event_count, timespan: 1m, condition: {gte: 2}, rules: ["
        + ", ".join(f"x{i}" for i in range(5_000))
        + "]}\n"
    ),
    "many unknown params": (
        "    s: {u: x}\n    condition: s\ntocsin:\n  params: {"
        + ", ".join(f"p{i}: {{default: 1}}" for i in range(3_000))
        + "}\n  alert: {context: ["
        + ", ".join(f"$q{i}" for i in range(5_000))
        + "]}\n"
    ),
    "many filters of many rules": (
        "    s: {u: x}\n    condition: s\n"
        + "---\ntitle: b\ndetection: {s: {u: x}, condition: s}\n" * 1_000
        + "---\ntitle: f\nfilter: {rules: any, o: {u: y}, condition: not o}\n" * 1_000
    ),
    "a name with blanks": "    s: [\nname: a" + " " * 900_000 + "b\n",
    "many unknown selections": "    s: {u: x}\n    condition: "
    + " or ".join(f"x{i}" for i in range(50_000))
    + "\n",
    "many categories": "    s: {tocsin.category: ["
    + ", ".join(f"Login - {i}" for i in range(20_000))
    + "]}\n    condition: s\nlogsource: {product: auth0}\n",
    "many of our fields": "    s: {"
    + ", ".join(f"tocsin.x{i}: a" for i in range(20_000))
    + "}\n    condition: s or\n",
    "many unknown modifiers": "    s: {"
    + ", ".join(f"u|m{i}: x" for i in range(5_000))
    + "}\n    condition: s\n",
    "many unknown keys": "    s: {u: x}\n    condition: t\n"
    + "".join(f"tocsinn{i}: x\n" for i in range(20_000))
    + "tocsin: {"
    + ", ".join(f"k{i}: x" for i in range(20_000))
    + "}\n",
    "many unknown fields": "    s: {"
    + ", ".join(f"user_nam{i}: x" for i in range(20_000))
    + "}\n    condition: t\nlogsource: {product: auth0}\n",
    "a title of many names": (
        "    s: {u: x}\n    condition: t\ntocsin: {alert: {title: '"
        + "{{ a.b.c.d.e.f.g }}" * 100
        + "{{ (a or b) "
        + "and (c" * 40
        + ")" * 40
        + " }}'}}\n"
    ),
    "a title that nests": (
        "    s: {u: x}\n    condition: s\ntocsin: {alert: {title: '{{ " + "(" * 900 + " }}'}}\n"
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_is_refused_without_harm(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "rule.yml"
    file.write_text("title: t\ndetection:\n" + HOSTILE[kind])

    assert _told([file], tmp_path)


def test_many_params_that_nothing_uses_are_told_in_a_moment(tmp_path: Path) -> None:
    values = ", ".join(f"v{i}" for i in range(20_000))
    params = ", ".join(f"p{i}: {{default: 1}}" for i in range(3_000))
    (tmp_path / "rule.yml").write_text(
        f"title: t\ndetection: {{s: {{u: [{values}, say p7 here, p8x, q-p9]}}, condition: s}}\n"
        f"tocsin: {{params: {{{params}, a-b: {{default: 1}}, c-d: {{default: 1}}}}, "
        f"alert: {{runbook: a-b}}}}\n"
    )

    told = [warning.message for warning in load_rules([tmp_path]).warnings]

    unused = [found[0] for message in told if (found := re.findall('uses the param "(.*?)"', message))]
    assert unused == [f"p{i}" for i in range(3_000) if i not in (7, 9)] + ["c-d"]


def test_warnings_are_told_beside_the_mistakes(tmp_path: Path) -> None:
    (tmp_path / "rule.yml").write_text(
        "title: t\nlevel: hihg\nlogsource: {product: auth0}\ndetection: {s: {type: fpp}, condition: s}\n"
    )

    with pytest.raises(RuleErrors) as caught:
        load_rules([tmp_path])

    (warning,) = caught.value.warnings
    assert warning.message == 'unknown auth0 event code "fpp"; did you mean "fp"?'


def test_a_broken_correlation_makes_no_warning_of_its_bounds(tmp_path: Path) -> None:
    (tmp_path / "rule.yml").write_text(
        "title: t\nlogsource: {product: auth0}\ndetection: {s: {type: fp}, condition: s}\n"
        "tocsin:\n  correlate: {type: event_count, timespan: 10x, condition: {gte: 2}}\n"
        "  alert: {severity: [{gte: 50, is: high}]}\n"
    )

    with pytest.raises(RuleErrors) as caught:
        load_rules([tmp_path])

    assert (len(caught.value.errors), caught.value.warnings) == (1, ())


def test_no_rule_file_at_all_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no rule")

    with pytest.raises(RuleErrors) as caught:
        load_rules([tmp_path])

    assert [error.message for error in caught.value.errors] == [
        "the folder holds no rule; rules are .yml and .yaml files"
    ]


def test_an_empty_folder_beside_rules_is_a_warning(tmp_path: Path) -> None:
    for name in ("empty", "full"):
        (tmp_path / name).mkdir()
    (tmp_path / "full/a.yml").write_text(
        "title: t\nlogsource: {product: auth0}\ndetection: {s: {u: x}, condition: s}\n"
    )

    (warning,) = load_rules([tmp_path / "empty", tmp_path / "full"]).warnings

    assert warning.message.startswith("the folder holds no rule")


def test_an_overlays_wrong_param_is_told_of_the_overlay_alone(tmp_path: Path) -> None:
    (tmp_path / "overlay.yml").write_text("r: {params: {window: 5}}\n")
    (tmp_path / "rule.yml").write_text(
        "title: t\nname: r\nlogsource: {product: auth0}\ndetection: {s: {type: fp}, condition: s}\n"
        "tocsin:\n  params: {window: {default: 10m}}\n"
        "  correlate: {type: event_count, timespan: $window, condition: {gte: 2}}\n"
    )

    with pytest.raises(RuleErrors) as caught:
        load_rules([tmp_path / "rule.yml"], overlay=tmp_path / "overlay.yml")

    assert [error.message for error in caught.value.errors] == [
        'param "window" is a duration, like its default 10m'
    ]


def test_many_unknown_selections_are_told_up_to_a_number(tmp_path: Path) -> None:
    names = " or ".join(f"x{number}" for number in range(1_000))
    (tmp_path / "rule.yml").write_text(f"title: t\ndetection: {{s: {{u: x}}, condition: {names}}}\n")

    assert len(_told([tmp_path], tmp_path)) == 20


def test_a_rule_that_cannot_be_read_is_not_told_again_of_those_who_name_it(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("title: t\nname: base\n---\ntitle: 'u\n")
    (tmp_path / "c.yml").write_text(
        "title: c\ncorrelation: {type: event_count, rules: [base, bsae], timespan: 1h, condition: {gte: 2}}\n"
    )
    (tmp_path / "overlay.txt").write_text("base: {enabled: false}\nbas: {enabled: false}\n")

    with pytest.raises(RuleErrors) as caught:
        load_rules([tmp_path], overlay=tmp_path / "overlay.txt")

    assert [(Path(error.file).name, error.line, error.column) for error in caught.value.errors] == [
        ("overlay.txt", 2, 1),
        ("a.yml", 1, 1),
        ("a.yml", 4, 8),
        ("c.yml", 2, 48),
    ]


def test_every_wrong_keyword_is_told(tmp_path: Path) -> None:
    (tmp_path / "rule.yml").write_text("title: t\ndetection: {s: {'|re|all': ['(a', '(b']}, condition: s}\n")

    assert len(_told([tmp_path], tmp_path)) == 2


def test_a_correlation_that_its_type_drops_without_a_word_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(reading: Reading) -> None:
        reading.section.node("condition")

    monkeypatch.setitem(CORRELATIONS, "event_count", replace(CORRELATIONS["event_count"], read=silent))
    (tmp_path / "rule.yml").write_text(
        "title: t\nlogsource: {product: auth0}\ndetection: {s: {type: fp}, condition: s}\n"
        "tocsin:\n  correlate: {type: event_count, timespan: 10m, condition: {gte: 2}}\n"
    )

    assert _told([tmp_path], tmp_path) == [
        "rule.yml:5:14: the correlation cannot be read; compare it with the documentation"
    ]
