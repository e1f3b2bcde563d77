"""`tocsin tune`: what it prints, and what it says of mistakes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tocsin.cli.main import app
from tocsin.errors import Error

RULE = """title: Failed logins
name: failed
logsource: {product: auth0}
detection: {failed: {data.type: fp}, condition: failed}
tocsin:
    params:
        threshold: {default: 3, min: 2, max: 50}
        window: {default: 10m}
    correlate: {type: event_count, group-by: [data.ip], timespan: $window, condition: {gte: $threshold}}
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A rule, and six failures of one address (a minute apart) and three of another."""
    rule, events = tmp_path / "rule.yml", tmp_path / "events.ndjson"
    rule.write_text(RULE)
    seen = [("203.0.113.9", minute) for minute in range(6)] + [
        ("198.51.100.7", minute) for minute in (7, 8, 9)
    ]
    events.write_text(
        "".join(
            json.dumps(
                {"log_id": f"e{n}", "date": f"2026-01-01T00:{minute:02d}:00.000Z", "type": "fp", "ip": ip}
            )
            + "\n"
            for n, (ip, minute) in enumerate(seen)
        )
    )
    return str(rule), str(events)


def _run(files: tuple[str, str], *options: str, rule: str = "failed") -> Result:
    return CliRunner().invoke(app, ["tune", rule, "--events", files[1], "--rules", files[0], *options])


def _rows(result: Result) -> list[list[str]]:
    return [line.split("\t") for line in result.stdout.splitlines()]


def test_a_row_for_each_value_says_what_it_would_have_done(files: tuple[str, str]) -> None:
    result = _run(files, "--param", "threshold=2,3,6,7")

    assert result.exit_code == 0
    assert _rows(result) == [
        ["2", "", "2", "2.0", "2", "2026-01-01 00:01:00Z", "2026-01-01 00:08:00Z"],
        ["3", "now", "2", "2.0", "2", "2026-01-01 00:02:00Z", "2026-01-01 00:09:00Z"],
        ["6", "", "1", "1.0", "1", "2026-01-01 00:05:00Z", "2026-01-01 00:05:00Z"],
        ["7", "", "0", "0.0", "0", "-", "-"],
    ]
    assert result.stderr == "9 events of 0.0 days\n"


def test_another_timespan_counts_anew(files: tuple[str, str]) -> None:
    rows = _rows(_run(files, "--param", "window=1m,10m", "--param", "threshold=2,3"))

    assert [row[:4] for row in rows] == [
        ["1m", "2", "", "2"], ["1m", "3", "", "0"], ["10m", "2", "", "2"], ["10m", "3", "now", "2"],
    ]  # fmt: skip


def test_without_a_param_the_threshold_is_tried_around_its_value(files: tuple[str, str]) -> None:
    assert [row[0] for row in _rows(_run(files))] == ["2", "3", "4", "6", "8", "15", "30"]


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ("threshold=2:5", ["2", "3", "4", "5"]),
        ("threshold=1:4", ["2", "3", "4"]),
        ("threshold=2:50:20", ["2", "3", "22", "42"]),
        ("threshold=3,3", ["3"]),
        ("threshold=2:50", ["2", "3", "4", "5", "6", "8", "10", "12", "15", "20", "25", "30", "40", "50"]),
        ("threshold=20:50", ["3", *(str(number) for number in range(20, 51, 2))]),
        ("window=1h,5m,10m", ["5m", "10m", "1h"]),
    ],
)
def test_values_are_a_range_or_a_list(files: tuple[str, str], written: str, values: list[str]) -> None:
    assert [row[0] for row in _rows(_run(files, "--param", written))] == values


@pytest.mark.parametrize(
    "said",
    ["other: {enabled: false}", "'o*': {params: {most: 9}}", "failed: {params: {threshold: 9}}"],
)
def test_what_a_site_says_of_other_rules_is_no_mistake(
    files: tuple[str, str], tmp_path: Path, said: str
) -> None:
    other = RULE.replace("Failed logins", "Other failures").replace("name: failed", "name: other")
    (tmp_path / "other.yml").write_text(other.replace("threshold", "most"))
    (tmp_path / "overlay.yml").write_text(said)

    result = _run(
        files,
        str(tmp_path / "other.yml"),
        "--overlay",
        str(tmp_path / "overlay.yml"),
        "--param",
        "threshold=2,6",
    )

    assert result.exit_code == 0, result
    assert {"2", "6"} <= {row[0] for row in _rows(result)}


def test_as_json_it_says_the_same(files: tuple[str, str]) -> None:
    told = json.loads(_run(files, "--param", "threshold=3,6", "--format", "json").stdout)

    assert (told["rule"], told["events"], told["late"]) == ("failed", 9, 0)
    assert told["candidates"][1] == {
        "params": {"threshold": "6"}, "now": False, "alerts": 1, "alerts_per_day": 1.0, "groups": 1,
        "first": "2026-01-01T00:05:00Z", "last": "2026-01-01T00:05:00Z",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--param", "treshold=3"], 'the rule has no param treshold; did you mean "threshold"?'),
        (
            ["--param", "threshold"],
            "--param threshold: write NAME=FROM:TO, NAME=FROM:TO:STEP or NAME=ONE,ANOTHER",
        ),
        (
            ["--param", "threshold=9:2"],
            "--param threshold=9:2: a range is two numbers, the lower first, and maybe a step: 5:200:5",
        ),
        (
            ["--param", "threshold=60:90"],
            "--param threshold=60:90: threshold must be at least 2 and at most 50",
        ),
        (
            ["--param", "threshold=a,b"],
            '--param threshold=a: param "threshold" is a number, like its default 3',
        ),
        (["--param", "threshold=60"], '--param threshold=60: param "threshold" must be at most 50, not 60'),
        (["--param", "threshold=2:50:0.1"], "481 combinations are too many to compare; ask for at most 400"),
    ],
)
def test_a_mistake_is_told(files: tuple[str, str], options: Sequence[str], message: str) -> None:
    result = _run(files, *options)

    assert isinstance(result.exception, Error)
    assert str(result.exception) == message


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            "params: {window: {default: 10m}}\n    correlate: {type: event_count, timespan: $window, ",
            "no param of the rule sets its threshold; name one of window: --param window=…",
        ),
        (
            "correlate: {type: event_count, timespan: 10m, ",
            (
                "the rule has no params to try; a rule of your own can have one: "
                "tocsin: {params: {threshold: {default: 20}}}, and $threshold in its condition"
            ),
        ),
    ],
)
def test_a_rule_without_a_param_for_its_threshold_is_told(
    files: tuple[str, str], params: str, message: str
) -> None:
    head = RULE.partition("    params:")[0]
    Path(files[0]).write_text(f"{head}    {params}condition: {{gte: 3}}}}\n")

    assert str(_run(files).exception) == message


SHAPE = """title: Failures {name}
name: {name}
logsource: {{product: auth0}}
detection: {{failed: {{data.type: fp}}, condition: failed}}
tocsin:
    params: {{{params}}}
    correlate:
        type: shape
        per: data.ip
        group-by: [data.ip]
        timespan: $window
        condition:
            events: {{gte: {least}}}
            share: {{of: {{events_per_value: {{gte: 1}}}}, gte: 1}}
---
"""
CHAIN = (
    SHAPE.format(name="failed", params="threshold: {default: 3}, window: {default: 10m}", least="$threshold")
    + SHAPE.format(name="steady", params="window: {default: 5m}", least=2)
    + "title: Both\nname: both\n"
    + "correlation: {type: temporal, rules: [failed, steady], group-by: [data.ip], timespan: 1s}\n"
    + "tocsin: {alert: {resolve_after: 1h}}\n"
)


def test_a_rule_takes_the_params_of_those_it_counts(files: tuple[str, str]) -> None:
    Path(files[0]).write_text(CHAIN)

    rows = _rows(_run(files, "--param", "threshold=3,4,6,7", rule="both"))
    assert [row[:3] for row in rows] == [["3", "now", "2"], ["4", "", "1"], ["6", "", "1"], ["7", "", "0"]]
    rows = _rows(_run(files, "--param", "steady.window=30s,5m", "--param", "failed.threshold=6", rule="both"))
    assert [row[:4] for row in rows] == [
        ["30s", "3", "", "0"], ["30s", "6", "", "0"], ["5m", "3", "now", "2"], ["5m", "6", "", "1"],
    ]  # fmt: skip


def test_a_name_that_several_counted_rules_have_is_told(files: tuple[str, str]) -> None:
    Path(files[0]).write_text(CHAIN)

    assert str(_run(files, "--param", "window=5m", rule="both").exception) == (
        "--param window: several rules have it; write failed.window or steady.window"
    )
    assert str(_run(files, rule="both").exception) == (
        "no param of the rule sets its threshold; "
        "name one of threshold, failed.window, steady.window: --param threshold=…"
    )


def test_of_what_only_others_count_it_says_who_tells(files: tuple[str, str]) -> None:
    Path(files[0]).write_text(CHAIN)

    assert _run(files, "--param", "threshold=3").stderr.splitlines()[0] == (
        "failed only feeds both: nobody is told of what it finds alone; "
        "tocsin tune both takes its params, and counts what would be told"
    )


def test_a_rule_that_nobody_knows_is_told(files: tuple[str, str]) -> None:
    assert str(_run(files, rule="faild").exception) == (
        'no rule is called "faild"; did you mean "failed"? `tocsin rules list` shows them all'
    )


def test_a_range_of_parts_goes_by_round_steps(files: tuple[str, str]) -> None:
    Path(files[0]).write_text(RULE.replace("{default: 3, min: 2, max: 50}", "{default: 0.8}"))

    rows = _rows(_run(files, "--param", "threshold=0.5:1"))

    assert [row[0] for row in rows] == [f"{hundredths / 100:g}" for hundredths in range(50, 101, 5)]


def test_what_a_range_leaves_out_is_told(files: tuple[str, str]) -> None:
    assert _run(files, "--param", "threshold=0:5").stderr.splitlines()[0] == (
        "--param threshold=0:5: threshold must be at least 2 and at most 50; the rest is left out"
    )
    assert len(_run(files, "--param", "threshold=2:50").stderr.splitlines()) == 1


def test_on_a_terminal_rows_that_say_the_same_are_one(
    files: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")

    lines = _run(files, "--param", "threshold=2:9").stdout.splitlines()

    assert [" ".join(line.split()) for line in lines[1:]] == [
        "2 2 2.0 2 2026-01-01 00:01 2026-01-01 00:08",
        "3 now 2 2.0 2 2026-01-01 00:02 2026-01-01 00:09",
        "4 1 1.0 1 2026-01-01 00:03 2026-01-01 00:03",
        "5 1 1.0 1 2026-01-01 00:04 2026-01-01 00:04",
        "6 1 1.0 1 2026-01-01 00:05 2026-01-01 00:05",
        "7-9 0 0.0 0 - -",
    ]


def test_of_late_events_it_says_what_lateness_is_enough(files: tuple[str, str]) -> None:
    lines = Path(files[1]).read_text().splitlines()
    newest = [lines[8].replace("e8", f"n{n}") for n in range(3_000)]  # more than is read at once
    Path(files[1]).write_text("\n".join([*newest, *lines]))

    result = _run(files)

    assert result.stderr == (
        "3,009 events, 7 late of 0.0 days\n"
        "late events are counted as well as may be; with --allowed-lateness 9m none is late\n"
    )
    assert _run(files, "--allowed-lateness", "9m").stderr == "3,009 events of 0.0 days\n"


def test_an_export_with_its_newest_event_first_gives_the_same_rows(files: tuple[str, str]) -> None:
    rows = _rows(_run(files))
    Path(files[1]).write_text("\n".join(Path(files[1]).read_text().splitlines()[::-1]))

    result = _run(files)

    assert _rows(result) == rows
    assert result.stderr == "9 events of 0.0 days\n"


def test_a_file_that_is_missing_fails_the_run(files: tuple[str, str], tmp_path: Path) -> None:
    result = _run((files[0], str(tmp_path / "none.ndjson")))

    assert result.exit_code == 1
    assert "none.ndjson: cannot be read" in result.stderr
