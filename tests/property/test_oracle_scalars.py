"""Bare YAML scalars: pySigma reads YAML 1.1, we read 1.2; where the two differ is told one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
from sigma.exceptions import SigmaError
from sigma.policy.profiles import TrustedPolicy
from sigma.rule import SigmaRule

from tocsin.errors import RuleErrors
from tocsin.rules.load import load_rules

from .oracle_ours import answers
from .oracle_sigma import Parsed

RULE = "title: t\nlogsource: {{product: p}}\ndetection:\n    sel:\n        f: {}\n    condition: sel\n"
PROBES = [
    None,
    "",
    True,
    False,
    "true",
    "false",
    "yes",
    "no",
    "on",
    "off",
    "Off",
    "y",
    "n",
    "null",
    "~",
    0,
    1,
    -1,
    5,
]
PROBES += [
    "5",
    8,
    "8",
    10,
    "10",
    "010",
    "0o10",
    "0x1f",
    31,
    "31",
    1.5,
    "1.5",
    ".5",
    0.5,
    "1e3",
    1000,
    "1000",
    1000.0,
]
PROBES += [
    "1_000",
    "1:30",
    90,
    "90",
    "2020-01-01",
    "+5",
    "-0",
    "0.0",
    "5.0",
    ".inf",
    ".nan",
    "0b11",
    3,
    "=",
    "<<",
]
PROBES += [
    "2020-01-01T00:00:00Z",
    "x y",
    "'",
    "a#b",
    "a:b",
    "%a",
    "@",
    "1.2.3.4",
    "12e03",
    "1.",
    "NaN",
    "5e-1",
]

SAME = [
    "5",
    "-1",
    "0",
    "1.5",
    "-1.5",
    "true",
    "false",
    "True",
    "FALSE",
    "null",
    "~",
    "Null",
    "",
    "x y",
    "a#b",
    "a:b",
]
SAME += [
    "'5'",
    '"true"',
    "'null'",
    "1.2.3.4",
    "'a''b'",
    "y",
    "n",
    "nan",
    "<",
    "=x",
    "1e3x",
]
SAME += [
    "1.5e+3",
    "| \n            x\n",
    "[a, 5]",
    "a",
]

OTHERWISE = {
    "yes": "text; a boolean in YAML 1.1",
    "no": "text; a boolean in YAML 1.1",
    "on": "text; a boolean in YAML 1.1",
    "off": "text; a boolean in YAML 1.1",
    "Off": "text; a boolean in YAML 1.1",
    "010": "ten, as written; eight in YAML 1.1",
    "0o10": "eight; text in YAML 1.1",
    "1_000": "text; a thousand in YAML 1.1",
    "1:30": "text; ninety in YAML 1.1",
    "0b11": "text; three in YAML 1.1",
    "1e3": "a thousand; text in YAML 1.1",
    "5e-1": "a half; text in YAML 1.1",
    "08": "eight; text in YAML 1.1",
    "0.0": "nought, and the text as it is written; pySigma forgets how",
    "-0": "nought, and the text as it is written; pySigma forgets how",
    ".5": "a half, and the text as it is written; pySigma forgets how",
    "2020-01-01": "text; a date in YAML 1.1, which pySigma refuses",
    ".inf": "text; no number that pySigma takes",
}


def _ours(folder: Path, scalar: str) -> list[bool] | None:
    file = folder / "rule.yml"
    file.write_text(RULE.format(scalar))
    try:
        rules = load_rules([file])
    except RuleErrors:
        return None
    return answers(rules, [{"f": probe} for probe in PROBES])


def _theirs(scalar: str) -> list[bool] | None:
    try:
        rule = SigmaRule.from_yaml(RULE.format(scalar), policy=TrustedPolicy)
    except SigmaError:
        return None
    parsed = Parsed(tuple(condition.parsed for condition in rule.detection.parsed_condition))
    return [parsed.holds({"f": probe}) for probe in PROBES]


@pytest.mark.parametrize("scalar", SAME)
def test_a_scalar_means_what_it_means_to_pysigma(tmp_path: Path, scalar: str) -> None:
    assert _ours(tmp_path, scalar) == _theirs(scalar) is not None


@pytest.mark.parametrize("scalar", OTHERWISE)
def test_a_scalar_of_yaml_1_1_means_what_yaml_1_2_says(tmp_path: Path, scalar: str) -> None:
    ours = _ours(tmp_path, scalar)

    assert ours is not None
    assert ours != _theirs(scalar)
