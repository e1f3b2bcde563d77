"""`tocsin rules list`, `params`, `coverage` and `explain`: what they print."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tocsin.cli.rules import app
from tocsin.errors import Error

RULE = """title: Failures
name: failures
logsource: {product: auth0}
detection: {s: {data.type: [fp, fu]}, condition: s}
level: low
tags: [attack.t1110]
tocsin:
    params:
        threshold: {default: 20, min: 5, max: 1000, help: failed logins}
        window: {default: 10m}
    correlate: {type: event_count, group-by: [data.ip], timespan: $window, condition: {gte: $threshold}}
"""
WHEN = "2025-01-06T12:00:00Z"
RECORD = '{"log_id": "1", "date": "2025-01-06T12:00:00Z", "type": "%s", "ip": "192.0.2.1\\u001b[2J"}\n'


@pytest.fixture
def rule(tmp_path: Path) -> str:
    file = tmp_path / "rule.yml"
    file.write_text(RULE)
    return str(file)


@pytest.fixture
def overlay(tmp_path: Path) -> str:
    file = tmp_path / "overlay.yml"
    file.write_text("failures:\n    params:\n        threshold: 50\n    severity: high\n")
    return str(file)


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result


def test_list_is_one_rule_a_line_with_effective_values(rule: str, overlay: str) -> None:
    told = run("list", rule, "--overlay", overlay).stdout

    assert told == (
        "failures\thigh\tT1110\tevent_count\t10m\tthreshold=50 window=10m\tfp fu\tauth.login.fail\n"
    )


def test_list_says_what_does_not_run_and_why(tmp_path: Path) -> None:
    file = tmp_path / "rule.yml"
    file.write_text(
        "title: t\nname: t\nlogsource: {product: auth0}\ndetection: {s: {u|re: 'a(?!b)'}, condition: s}\n"
    )

    assert run("list", str(file)).stdout == "t\tmedium\t\tdetection, not running: look-around\t\t\tany\tany\n"


def test_list_says_what_only_others_count(tmp_path: Path) -> None:
    file = tmp_path / "rule.yml"
    file.write_text(
        "title: t\nname: one\nlogsource: {product: auth0}\ndetection: {s: {type: fp}, condition: s}\n---\n"
        "title: a\nname: noisy\ncorrelation: {type: event_count, rules: [one], timespan: 1m, "
        "condition: {gte: 2}}\n---\n"
        "title: b\nname: wave\ncorrelation: {type: event_count, rules: [noisy], timespan: 1h, "
        "condition: {gte: 2}}\n"
    )

    types = [line.split("\t")[3] for line in run("list", str(file)).stdout.splitlines()]

    assert types == ["event_count, only counted by others", "event_count"]


def test_list_as_json(rule: str) -> None:
    (line,) = json.loads(run("list", rule, "--format", "json").stdout)

    assert line["name"] == "failures"
    assert line["codes"] == ["fp", "fu"]
    assert line["params"] == {"threshold": 20, "window": "10m"}


def test_list_without_a_path_is_of_the_shipped_rules() -> None:
    lines = run("list").stdout.splitlines()

    assert any(line.startswith("failed_logins_from_ip\t") for line in lines)


def test_params_say_where_each_value_came_from(rule: str, overlay: str) -> None:
    rows = [line.split("\t") for line in run("params", rule, "--overlay", overlay).stdout.splitlines()]

    assert rows == [
        ["failures", "threshold", "50", "20", "5..1000", f"{overlay}:3", "failed logins"],
        ["failures", "window", "10m", "10m", "", f"{rule}:10", ""],
        ["failures", "level", "high", "low", "", f"{overlay}:4", "set by the overlay"],
    ]


def test_params_say_what_a_glob_and_labels_changed(rule: str, tmp_path: Path) -> None:
    overlay = tmp_path / "site.yml"
    overlay.write_text("fail*: {params: {window: 20m}, enabled: true}\nfailures: {labels: {team: b}}\n")

    rows = [line.split("\t") for line in run("params", rule, "--overlay", str(overlay)).stdout.splitlines()]

    assert [[row[1], row[2], row[5]] for row in rows] == [
        ["threshold", "20", f"{rule}:9"],
        ["window", "20m", f"{overlay}:1"],
        ["enabled", "true", f"{overlay}:1"],
        ["label.team", "b", f"{overlay}:2"],
    ]


def test_params_as_json(rule: str) -> None:
    threshold, _ = json.loads(run("params", rule, "--format", "json").stdout)

    assert threshold == {
        "rule": "failures", "param": "threshold", "value": "20", "default": "20", "least": "5",
        "most": "1000", "place": f"{rule}:9", "help": "failed logins",
    }  # fmt: skip


@pytest.mark.parametrize("asked", [[], ["--overlay", "other.yml"]])
def test_a_config_says_what_is_not_asked_for(
    rule: str, overlay: str, tmp_path: Path, asked: list[str]
) -> None:
    (tmp_path / "other.yml").write_text("failures: {params: {threshold: 60}}\n")
    config = tmp_path / "tocsin.yml"
    config.write_text(f"rules: [{rule}]\noverlay: {overlay}\n")
    asked = [str(tmp_path / word) if word.endswith(".yml") else word for word in asked]

    rows = [line.split("\t") for line in run("params", "--config", str(config), *asked).stdout.splitlines()]

    assert rows[0][:3] == ["failures", "threshold", "60" if asked else "50"]


def test_a_rule_that_the_overlay_switches_off_covers_nothing(rule: str, tmp_path: Path) -> None:
    overlay = tmp_path / "off.yml"
    overlay.write_text("failures: {enabled: false}\n")

    rows = [line.split("\t") for line in run("coverage", rule, "--overlay", str(overlay)).stdout.splitlines()]
    assert {(row[0], row[2], row[4]) for row in rows} == {("technique", "0", "no rule")}


def test_coverage_tells_techniques_and_codes(rule: str) -> None:
    rows = [line.split("\t") for line in run("coverage", rule).stdout.splitlines()]

    assert ["technique", "T1110", "1", "failures", ""] in rows
    assert ["technique", "T1621 Multi-Factor Authentication Request Generation", "0", "", "no rule"] in rows
    assert ["auth0", "Login - Failure", "2/7", "fp fu", "f fc fco fcoa fens"] in rows


def test_coverage_as_json(rule: str) -> None:
    told = json.loads(run("coverage", rule, "--format", "json").stdout)

    covered = [one for one in told["techniques"] if one["rules"]]
    assert covered == [{"technique": "T1110", "name": "", "rules": ["failures"]}]


def test_explain_tells_what_is_asked_and_what_follows(rule: str) -> None:
    told = run("explain", "failures", rule).stdout

    assert told.splitlines() == [
        "failures  Failures",
        f"{rule}:1",
        "  reads       auth0: events of fp, fu",
        "  counts      events within 10m for each data.ip (event_count)",
        "  alerts      when the count is >= 20",
        "  group       one alert for each data.ip",
        "  severity    low",
        "  ends        10m after its last trigger",
        "  params      threshold 20, window 10m",
        "",
        "  condition: s",
        "    s",
        "      data.type: fp or fu",
    ]


def test_explain_tells_what_counted_rules_ask(tmp_path: Path) -> None:
    file = tmp_path / "rule.yml"
    file.write_text(
        "title: One\nname: one\nlogsource: {product: auth0}\ndetection: {s: {data.type: fp}, condition: s}\n"
        "tocsin:\n    params: {users: {default: 15}}\n"
        "    correlate: {type: shape, per: data.user, timespan: 15m, condition: {values: {gte: $users}, "
        "share: {of: {events_per_value: {lte: 2}}, gte: 0.8}}}\n---\n"
        "title: Both\nname: both\ncorrelation: {type: event_count, rules: [one], timespan: 1h, "
        "condition: {gte: 2}}\n"
    )

    told = run("explain", "both", str(file)).stdout.splitlines()

    assert told[told.index("  of          one") :][1:] == [
        "    counts    events spread over the values of a field in this way, in the window of 15m (shape)",
        "    per       data.user",
        "    condition values {gte 15}, share {of {events_per_value {lte 2}}, gte 0.8}",
        "    true      when its time is past, as late events may change it",
        "    params    users 15",
        "",
        "one",
        "  condition: s",
        "    s",
        "      data.type: fp",
    ]
    assert "  alerts      when the count is >= 2, once what it counts is past" in told


def test_explain_answers_every_record_and_says_which_is_none(rule: str, tmp_path: Path) -> None:
    events = tmp_path / "events.ndjson"
    events.write_text(RECORD % "fp" + RECORD % "s" + "nothing\n" + RECORD % "fu\n".strip())
    result = run("explain", "failures", rule, "--event", str(events))

    told = result.stdout.partition("\n\n")[2].splitlines()
    assert told[:6] == [
        "event 1  fp  1",
        "  ✓ condition: s",
        "    ✓ s",
        "      ✓ data.type: fp or fu   (is fp)",
        "  matches",
        "    group: data.ip is 192.0.2.1\\x1b[2J",
    ]
    assert told[7:12] == [
        "event 2  s  1",
        "  ✗ condition: s",
        "    ✗ s",
        "      ✗ data.type: fp or fu   (is s)",
        "  does not match",
    ]
    assert f"{events}:3: not an event" in result.stderr


def test_explain_says_that_an_event_is_not_counted_for_want_of_its_group(rule: str, tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    record.write_text('{\n  "log_id": "1", "date": "2025-01-06T12:00:00Z",\n  "type": "fp"\n}\n')

    assert (
        "not counted: data.ip is missing" in run("explain", "failures", rule, "--event", str(record)).stdout
    )


def test_explain_tells_a_null_from_nothing(tmp_path: Path) -> None:
    (tmp_path / "rule.yml").write_text(
        "title: t\nname: t\nlogsource: {product: auth0}\n"
        "detection: {s: {a: x, b: x, c.d: x, e: ''}, condition: s}\n"
    )
    record = {"log_id": "1", "date": "2025-01-06T12:00:00Z", "a": None, "c": {"d": []}, "e": ""}
    (tmp_path / "record.json").write_text(json.dumps(record))

    told = run("explain", "t", str(tmp_path / "rule.yml"), "--event", str(tmp_path / "record.json")).stdout

    assert [line.strip() for line in told.splitlines() if line.startswith("      ")][-4:] == [
        "✗ a: x   (is null)",
        "✗ b: x   (the event has none)",
        "✗ c.d: x   (is an empty list)",
        "✓ e: ''   (is '')",
    ]


ANY_PROVIDER = """title: Any
name: any
logsource: {category: authentication}
taxonomy: ecs
detection: {s: {event.action: login, event.outcome: failure}, condition: s}
tocsin: {alert: {key: [source.ip]}}
"""


@pytest.mark.parametrize(
    ("record", "answer", "place"),
    [
        ({"log_id": "1", "date": WHEN, "type": "fp", "ip": "192.0.2.1"}, "matches", "192.0.2.1"),
        ({"frontegg_id": "1", "createdAt": WHEN, "eventKey": "login.completed"}, "does not match", ""),
        (
            {
                "@timestamp": WHEN,
                "event": {"action": "login", "outcome": "failure"},
                "source.ip": "192.0.2.3",
            },
            "matches",
            "192.0.2.3",
        ),
    ],
    ids=["auth0", "frontegg", "ecs"],
)
def test_explain_answers_records_of_any_provider_in_ecs_names(
    tmp_path: Path, record: dict[str, object], answer: str, place: str
) -> None:
    (tmp_path / "any.yml").write_text(ANY_PROVIDER)
    (tmp_path / "event.json").write_text(json.dumps(record))

    told = run("explain", "any", str(tmp_path / "any.yml"), "--event", str(tmp_path / "event.json")).stdout

    assert f"  {answer}\n" in told
    assert "event.action: login   (is login)" in told
    assert (f"group: source.ip is {place}" in told) is bool(place)


def test_explain_reads_standard_input(rule: str) -> None:
    result = CliRunner().invoke(app, ["explain", "failures", rule, "--event", "-"], input=RECORD % "fp")

    assert "  matches\n" in result.stdout


def test_explain_knows_a_rule_by_its_id_and_offers_the_nearest_name(rule: str) -> None:
    with pytest.raises(Error, match='no rule is called "failure"; did you mean "failures"'):
        CliRunner().invoke(app, ["explain", "failure", rule], catch_exceptions=False)
    shipped = run("explain", "baa1bd33-5b28-4f49-bcc4-6e7e0f7a46f5").stdout
    assert shipped.startswith("failed_logins_from_ip  ")


def test_an_unknown_name_like_none_is_told_in_a_line() -> None:
    result = CliRunner().invoke(app, ["explain", "zzzz"])

    assert str(result.exception) == 'no rule is called "zzzz"; `tocsin rules list` shows them all'


def test_shipped_rules_go_by_the_word_that_settings_have_for_them(rule: str) -> None:
    result = CliRunner().invoke(app, ["explain", "ecs_failed_logins_from_ip"])
    assert str(result.exception) == (
        'no rule is called "ecs_failed_logins_from_ip" here; '
        "it is one of shipped/ecs: name shipped/ecs as well"
    )
    told = run("explain", "ecs_failed_logins_from_ip", "shipped/ecs").stdout
    assert told.startswith("ecs_failed_logins_from_ip  ")
    ecs = run("list", "shipped/ecs").stdout.splitlines()
    assert {line.partition("_")[0] for line in ecs} == {"ecs"}
    both = run("list", rule, "shipped/ecs/ecs_mfa_denied.yml").stdout.splitlines()
    assert {line.partition("\t")[0] for line in both} == {"failures", "ecs_mfa_denied"}
    assert len(run("list", "shipped", "shipped/ecs").stdout.splitlines()) > len(
        run("list").stdout.splitlines()
    )


def test_explain_without_the_event_file_says_so(rule: str) -> None:
    with pytest.raises(Error, match="cannot be read: No such file or directory; check the path"):
        CliRunner().invoke(app, ["explain", "failures", rule, "--event", "no.json"], catch_exceptions=False)


def test_export_writes_files_that_load_and_say_what_they_lack(rule: str, tmp_path: Path) -> None:
    out = tmp_path / "sigma"
    told = run("export", "--sigma", rule, "--out", str(out)).stderr

    text = (out / "rule.yml").read_text()
    assert text.startswith(
        "# Written by `tocsin rules export --sigma` from rule.yml.\n"
        "# Sigma has no words for this, so it is not here:\n"
        "#   failures: tocsin.params: knobs: their values are written in\n"
        "title: Failures (events)\n"
    )
    assert (
        told == "1 file; what Sigma cannot say:\n     1  tocsin.params: knobs: their values are written in\n"
    )
    assert run("check", str(out)).stderr == "1 rule ok\n"
    run("export", "--sigma", rule, "--out", str(out))


def test_export_of_what_is_sigma_already_says_so(tmp_path: Path) -> None:
    file = tmp_path / "rule.yml"
    file.write_text("title: t\ndetection: {s: {u: x}, condition: s}\n")

    assert run("export", "--sigma", str(file)).stderr == "1 file; Sigma says all of it\n"


def test_export_keeps_folders(tmp_path: Path) -> None:
    (tmp_path / "rules" / "deep").mkdir(parents=True)
    (tmp_path / "rules" / "deep" / "a.yml").write_text(RULE)

    run("export", "--sigma", str(tmp_path / "rules"), "--out", str(tmp_path / "out"))

    assert (tmp_path / "out" / "deep" / "a.yml").is_file()


def test_export_without_a_folder_prints_documents_one_after_the_other(rule: str, tmp_path: Path) -> None:
    other = tmp_path / "other.yml"
    other.write_text(RULE.replace("failures", "others"))
    printed = tmp_path / "printed.yml"

    printed.write_text(run("export", "--sigma", rule, str(other)).stdout)

    assert run("check", str(printed)).stderr == "2 rules ok\n"


def test_export_never_replaces_a_file_that_it_did_not_write(rule: str, tmp_path: Path) -> None:
    with pytest.raises(Error, match=r"rule\.yml is there already, and not of this command"):
        run("export", "--sigma", rule, "--out", str(tmp_path))

    assert Path(rule).read_text() == RULE


def test_export_refuses_two_files_of_one_name(rule: str, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "rule.yml").write_text(RULE.replace("failures", "others"))

    with pytest.raises(Error, match=r"would both be .*rule\.yml; export them apart"):
        run("export", "--sigma", rule, str(tmp_path / "more"), "--out", str(tmp_path / "out"))


def test_export_asks_for_the_form(rule: str) -> None:
    result = CliRunner().invoke(app, ["export", rule])

    assert result.exit_code == 2
    assert "--sigma is the only one there is" in result.output


def test_what_a_rule_is_called_cannot_end_the_comment_it_stands_in(tmp_path: Path) -> None:
    file = tmp_path / "rule.yml"
    file.write_text(RULE.replace("name: failures", 'name: "a\\nb: c\\u2028d: e\\u001b"'))

    text = run("export", "--sigma", str(file)).stdout

    assert "#   a b: c d: e\\x1b: tocsin.params:" in text


def test_docs_prints_the_page(rule: str) -> None:
    assert run("docs", rule).stdout.startswith("# Rules\n\nGenerated from the rule files")


def test_schema_prints_json_that_editors_take() -> None:
    schema = json.loads(run("schema").stdout)

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["properties"]["tocsin"]["$ref"] == "#/$defs/tocsin"


def test_explain_of_a_file_without_events_is_an_error(rule: str, tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    record.write_text('{"type": "fp"}')

    with pytest.raises(Error, match="holds no event of auth0; give it whole records"):
        run("explain", "failures", rule, "--event", str(record))
