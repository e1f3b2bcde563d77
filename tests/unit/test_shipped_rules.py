"""The shipped rules: complete, alike, and each proved by its own tests, which are proved in turn."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
import yaml

from tocsin.alerts.headline import title as title_of
from tocsin.catalog import codes
from tocsin.clock import parse_duration
from tocsin.enrichment import open_databases
from tocsin.model.alert import Alert, ChangeKind
from tocsin.protocols import Batch
from tocsin.rules.load import Loaded, load
from tocsin.sandbox import compile_template, render
from tocsin.settings import shipped_rules
from tocsin.sources.decode import Decoder
from tocsin.state.windows_memory import MemoryWindows
from tocsin.tune.replay import replay
from tocsin.tune.ruletests import run_cases

from ..mmdb import write as write_mmdb  # noqa: TID252 - tests have no package name

RULES = Path(__file__).parents[2] / "rules"
ATTACK = RULES.parent / "src/tocsin/sources/demo/ssh_attack_as_auth0.ndjson"
FILES = sorted(RULES.glob("*/*.yml"))
STEMS = [file.stem for file in FILES]
LOGSOURCES = {
    "auth0": [{"product": "auth0"}],
    "frontegg": [{"product": "frontegg"}],
    "ecs": [{"category": "authentication"}, {"category": "iam"}],
}
EVERYTHING = {"auth0": "data.type", "frontegg": "eventKey", "ecs": "event.id"}  # every event has it
LEAST_RULES = 20
ATTACK_PROTECTION = {
    "limit_wc", "limit_mu", "limit_sul", "limit_phone", "pwd_leak", "signup_pwd_leak", "reset_pwd_leak",
    "gd_otp_rate_limit_exceed", "gd_recovery_rate_limit_exceed",
}  # fmt: skip
CATEGORIES = {"guessing", "stuffing", "mfa", "fraud", "token-theft", "probing", "tenant-change"}
LONGEST = timedelta(hours=6)
LONGEST_OF_FEW = timedelta(days=1)  # of a type that remembers failing groups alone
TAG = re.compile(r"attack\.(t\d{4}(\.\d{3})?|[a-z]+(-[a-z]+)*)")


def _documents(file: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(file.read_text()))


# The rules that alert, each with its file: what a chain counts has no level.
FILE_OF = {rule["name"]: file for file in FILES for rule in _documents(file) if "level" in rule}
NAMES = [*FILE_OF]


@pytest.fixture(scope="module")
def written() -> dict[str, dict[str, Any]]:
    """The rules that alert, as plain YAML, by name."""
    return {rule["name"]: rule for file in FILES for rule in _documents(file) if "level" in rule}


def test_all_load_together_without_a_warning() -> None:
    loaded = load([RULES])

    assert loaded.ruleset.warnings == ()
    assert loaded.ruleset.not_running == {}
    assert {rule.rule.name for rule in loaded.ruleset.rules if rule.alerts} == {*NAMES}
    assert len(NAMES) >= LEAST_RULES


def test_ids_names_and_titles_are_unique_and_a_file_is_called_like_its_first_rule(
    written: Mapping[str, Mapping[str, Any]],
) -> None:
    assert [_documents(file)[0]["name"] for file in FILES] == STEMS
    every = [rule for file in FILES for rule in _documents(file)]
    assert len({str(UUID(rule["id"])) for rule in every}) == len(every)
    assert len({rule["name"] for rule in every}) == len(every)
    assert len({rule["title"] for rule in written.values()}) == len(NAMES)


@pytest.mark.parametrize("file", FILES, ids=STEMS)
def test_what_a_chain_counts_is_called_after_it_and_alerts_of_nothing(file: Path) -> None:
    alerting = tuple(f"{rule['name']}_" for rule in _documents(file) if "level" in rule)
    for rule in (rule for rule in _documents(file) if "level" not in rule):
        assert rule["name"].startswith(alerting)
        assert "falsepositives" not in rule
        assert not {"alert", "tests"} & {*rule.get("tocsin", {})}


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_has_every_part(name: str, written: Mapping[str, Mapping[str, Any]]) -> None:
    rule = written[name]
    alert = rule["tocsin"]["alert"]

    for part in (
        "title",
        "status",
        "description",
        "author",
        "date",
        "references",
        "falsepositives",
        "level",
        "tags",
    ):
        assert rule[part], part
    for found in _detections(_file(name)):
        assert found["logsource"] in LOGSOURCES[_file(name).parent.name]
        assert found.get("taxonomy", "") in ("", "ecs")
        assert (_file(name).parent.name != "ecs") or found["taxonomy"] == "ecs"
    assert all(TAG.fullmatch(tag) for tag in rule["tags"])
    assert any(tag.startswith("attack.t") for tag in rule["tags"])
    assert UUID(rule["id"]).version == 4
    assert alert["labels"]["category"] in CATEGORIES
    assert alert["runbook"].startswith("1. ")
    assert 3 <= len(alert["context"]) <= 5
    assert len(rule["tocsin"]["tests"]) >= 3


@pytest.mark.parametrize("file", FILES, ids=STEMS)
def test_a_threshold_is_bounded_explained_and_argued(file: Path) -> None:
    for text in file.read_text().split("\n---\n"):
        document = yaml.safe_load(text)
        if "correlate" in document.get("tocsin", {}):
            _is_argued(text, document["tocsin"])
        elif "params" in document.get("tocsin", {}):
            _sets_what_is_argued(text, document)


def _is_argued(text: str, tocsin: Mapping[str, Any]) -> None:
    assert re.search(r"\n    params:\n        # ", text), "a comment says where the default comes from"
    for knob in tocsin["params"].values():
        assert knob["help"]
        if not isinstance(knob["default"], str):
            assert knob["min"] < knob["default"] < knob["max"]
    if "gte" in tocsin["correlate"].get("condition", {}):
        assert tocsin["correlate"]["condition"]["gte"].removeprefix("$") in tocsin["params"]
        assert tocsin["correlate"]["timespan"] == "$window"
        longest = LONGEST_OF_FEW if tocsin["correlate"]["type"] == "value_ratio" else LONGEST
        window = parse_duration(tocsin["params"]["window"]["default"])
        assert window <= longest, "long windows cost memory"


def _sets_what_is_argued(text: str, document: Mapping[str, Any]) -> None:
    """The same of a correlation in Sigma's own form, whose params say what they set."""
    assert re.search(r"\n    # .*\n(    # .*\n)*    condition: ", text), "a comment says where it comes from"
    for knob in document["tocsin"]["params"].values():
        assert knob["help"]
        if "min" in knob:
            assert knob["min"] < _default(knob, document) < knob["max"]


def _default(knob: Mapping[str, Any], document: Mapping[str, Any]) -> Any:
    """What a param is where no site says otherwise."""
    found: Any = knob.get("default")
    if "set" in knob:
        found = document
        for key in knob["set"].split("."):
            found = found[key]
    return found


def test_every_attack_protection_code_has_a_rule() -> None:
    found = load(shipped_rules()).ruleset.rules
    matched = {code for rule in found for m in rule.matchers for code in m.codes or ()}

    assert matched >= ATTACK_PROTECTION
    assert matched <= {*codes("auth0"), *codes("frontegg")}


def test_what_is_logged_once_an_hour_is_never_counted_by_attempts() -> None:
    leaks = {"pwd_leak", "signup_pwd_leak", "reset_pwd_leak"}

    for rule in load(shipped_rules()).ruleset.rules:
        if rule.rule.type == "event_count":
            assert not any(leaks & (m.codes or set()) for m in rule.matchers), rule.rule.name


@pytest.mark.parametrize("file", FILES, ids=STEMS)
def test_the_tests_in_the_file_pass(file: Path) -> None:
    assert _mistaken(load([file])) == {}


@pytest.mark.parametrize("name", NAMES)
def test_the_tests_show_it_firing_and_quiet(name: str, written: Mapping[str, Mapping[str, Any]]) -> None:
    cases = load([_file(name)]).cases[written[name]["id"]]

    assert any(case.expect for case in cases)
    assert any(not case.expect for case in cases)


def _mistakes(text: str) -> Iterator[tuple[str, str]]:
    """The file with one number a step off, or another severity: (what, text)."""
    documents = text.split("\n---\n")
    for place, document in enumerate(documents):
        for what, wrong in _mistakes_of(document):
            yield what, "\n---\n".join([*documents[:place], wrong, *documents[place + 1 :]])


def _mistakes_of(text: str) -> Iterator[tuple[str, str]]:
    yield from _other_level(text)
    yield from _other_bounds(text)
    for key, step in (("default", 1), ("default", -1)):
        found = re.search(rf"\b{key}: (\d+), min", text)
        if found:
            yield f"{key} {step:+}", text.replace(found[0], f"{key}: {int(found[1]) + step}, min")
    share = re.search(r"\bfailing: {default: ([\d.]+)", text)
    for step in (0.01, -0.01) if share else ():
        yield f"failing {step:+}", text.replace(share[0], f"failing: {{default: {float(share[1]) + step:.2f}")
    found = re.search(r"window: {default: (\w+)", text)
    if found is None and ("\nlevel: " not in text or re.search(r"(?m)^correlation:", text)):
        return  # what a chain counts has the windows
    key = "window: {default: " if found else "resolve_after: "
    found = found or re.search(r"resolve_after: (\w+)", text)
    assert found
    seconds = int(parse_duration(found[1]).total_seconds())
    for step in (-1,) if "bucket:" in text else (1, -1):  # triggers of buckets are whole buckets apart
        yield f"{key}{step:+}s", text.replace(found[0], f"{key}{seconds + step}s")


def _other_bounds(text: str) -> Iterator[tuple[str, str]]:
    """The same of a correlation in Sigma's own form."""
    if not re.search(r"(?m)^ +\w+: {set: ", text):
        return
    bound = re.search(r"\b(gte|lt): (\d+)}", text)
    assert bound
    for step in (1, -1):
        yield f"{bound[1]} {step:+}", text.replace(bound[0], f"{bound[1]}: {int(bound[2]) + step}}}")
    span = re.search(r"timespan: (\w+)", text)
    assert span
    seconds = int(parse_duration(span[1]).total_seconds())
    for step in (1, -1):
        yield f"timespan {step:+}s", text.replace(span[0], f"timespan: {seconds + step}s")


def _other_level(text: str) -> Iterator[tuple[str, str]]:
    level = re.search(r"^level: (\w+)$", text, re.MULTILINE)
    if level is None:
        return  # a chain alerts, and not what it counts
    other = "low" if level[1] == "informational" else "informational"
    yield "level", text.replace(level[0], f"level: {other}")


@pytest.mark.parametrize("file", FILES, ids=STEMS)
def test_the_tests_in_the_file_notice_a_number_that_is_off_by_one(file: Path, tmp_path: Path) -> None:
    for what, text in _mistakes(file.read_text()):
        wrong = tmp_path / "wrong.yml"
        wrong.write_text(text)
        assert _mistaken(load([wrong])), f"{what} went unnoticed"


@pytest.mark.parametrize("file", FILES, ids=STEMS)
def test_the_tests_in_the_file_notice_a_detection_that_matches_everything(file: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    field = EVERYTHING[file.parent.name]
    texts = file.read_text().split("\n---\n")
    wrong.write_text("\n---\n".join(_of_everything(text, field) for text in texts))

    assert _mistaken(load([wrong]))


def _of_everything(text: str, field: str) -> str:
    """The document with a detection that matches every event, as every step and part of it does."""
    if not re.search(r"(?m)^detection:", text):
        return text
    text = re.sub(r"\b(when|of): ([^{,}\n][^,}\n]*)", r"\1: any or (\2)", text)
    text = re.sub(r"(?m)^        after: .*$", "        after: any", text)
    matching = f"    any:\n        {field}|exists: true\n    condition: any or 1 of them"
    return re.sub(r"(?m)^    condition: .*$", matching, text, count=1)


@pytest.mark.parametrize("name", NAMES)
def test_the_title_of_an_alert_renders_in_a_line(name: str) -> None:
    (compiled,) = (rule for rule in load([_file(name)]).ruleset.rules if rule.rule.name == name)
    group = dict.fromkeys(compiled.rule.group_by, "<group>")

    facts = {"score": 20, "group": group, "timespan": "10m", "trigger": {}}
    title = render(compile_template(compiled.rule.headline), facts)

    assert title.count("<group>") == len(group)
    assert len(title) <= 90
    assert "{" not in title


@pytest.mark.parametrize(
    ("name", "usual", "new", "shown"),
    [
        ("new_country_for_user", {"location_info": {"country_code": "ES"}},
         {"location_info": {"country_code": "BR"}}, "auth0|1 logged in from a new country: BR"),
        ("new_device_for_user", {"user_agent": "Firefox 144 / macOS"}, {"user_agent": "Chrome 142 / Windows"},
         "auth0|1 logged in with a new device: Chrome 142 / Windows"),
    ],
)  # fmt: skip
def test_what_is_new_is_named_in_the_title(
    name: str, usual: dict[str, Any], new: dict[str, Any], shown: str
) -> None:
    days = [f"2026-01-{day:02}T12:00:00.000Z" for day in range(1, 19)]
    records = [{"log_id": day, "date": day, "type": "s", "user_id": "auth0|1", **usual} for day in days]
    records[-1] |= new

    (alert,) = _opened(load([_file(name)]), b"\n".join(map(msgspec.json.encode, records)))

    assert title_of(alert) == shown


def test_a_network_that_is_new_to_a_user_of_auth0_is_named_where_a_database_knows_networks(
    tmp_path: Path,
) -> None:
    networks = {"203.0.113.0/24": {"autonomous_system_number": 64496}, "198.51.100.0/24": {"asn": "AS64511"}}
    days = [f"2026-01-{day:02}T12:00:00.000Z" for day in range(1, 19)]
    records = [{"log_id": day, "date": day, "type": "s", "user_name": "ann"} for day in days]
    places = [{"ip": "203.0.113.9"}] * 17 + [{"ip": "198.51.100.7"}]
    ndjson = b"\n".join(msgspec.json.encode(one | place) for one, place in zip(records, places, strict=True))
    rule = _file("ecs_new_network_for_user")

    known = load([rule], locator=open_databases([write_mmdb(tmp_path / "asn.mmdb", networks)]))

    assert [title_of(alert) for alert in _opened(known, ndjson)] == [
        "ann logged in from a new network: AS64511"
    ]
    assert _opened(load([rule]), ndjson) == []


def test_the_recorded_attack_is_named_without_flooding() -> None:
    opened = _opened(load(shipped_rules()), ATTACK.read_bytes())

    addresses = {alert.group.get("data.ip") for alert in opened}
    assert {"24.151.103.17", "49.4.143.105"} <= addresses
    assert len(opened) <= 40, "more would be noise: the recording holds six loud attackers"


def test_of_quiet_tenants_only_the_export_of_all_users_is_told() -> None:
    samples = sorted((Path(__file__).parents[1] / "data" / "auth0").glob("*.json"))
    ndjson = b"\n".join(b" ".join(sample.read_bytes().splitlines()) for sample in samples)

    opened = _opened(load(shipped_rules()), ndjson)

    # The samples are single records, years apart.
    assert [alert.rule for alert in opened if alert.rule != "log_source_quiet"] == ["users_exported"]


def test_the_example_of_the_readme_is_a_rule_that_passes_its_tests(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (RULES / "README.md").read_text(), re.DOTALL)
    rule, overlay, filters = "".join(blocks[:-2]), blocks[-2], blocks[-1]
    (tmp_path / "example.yml").write_text(rule)
    (tmp_path / "overlay").write_text(overlay)
    (tmp_path / "filter.yml").write_text(filters)

    assert _mistaken(load([tmp_path / "example.yml"])) == {}
    assert load([RULES, tmp_path / "filter.yml"], overlay=tmp_path / "overlay").ruleset.warnings == ()


def test_the_readme_lists_every_rule_with_its_severity(written: Mapping[str, Mapping[str, Any]]) -> None:
    lines = re.findall(
        r"^\| \[(\w+)\]\((\w+/\w+)\.yml\) \| (.*) \| (\w+).*\|$",
        (RULES / "README.md").read_text(),
        re.MULTILINE,
    )

    assert {name: level for name, _, _, level in lines} == {n: rule["level"] for n, rule in written.items()}
    for name, file, fires_at, _ in lines:
        assert f"{_file(name).parent.name}/{_file(name).stem}" == file
        for rule in _counted_by(name):
            for param in rule.get("tocsin", {}).get("params", {}).values():
                assert str(_default(param, rule)) in fires_at, name


def _file(name: str) -> Path:
    return FILE_OF[name]


def _counted_by(name: str) -> list[dict[str, Any]]:
    """The rule, and what it counts, as deep as it goes."""
    rules = {rule["name"]: rule for rule in _documents(_file(name))}
    found = [rules[name]]
    for rule in found:
        found += [rules[counted] for counted in rule.get("correlation", {}).get("rules", ())]
    return found


def _detections(file: Path) -> list[dict[str, Any]]:
    return [rule for rule in _documents(file) if "detection" in rule]


def _mistaken(loaded: Loaded) -> dict[str, tuple[str, ...]]:
    """The cases that do not pass, each with what came instead."""
    return {outcome.case.name: outcome.mistakes for outcome in run_cases(loaded) if not outcome.passed}


def _opened(loaded: Loaded, ndjson: bytes) -> list[Alert]:
    """The alerts that open, by time."""
    events, bad = Decoder(loaded.ruleset.fields).decode_lines(ndjson, first_line=1, now_ms=None)
    assert not bad
    told = replay(
        loaded.ruleset, [Batch(events, "end")], windows=MemoryWindows(), lateness=timedelta(seconds=60)
    )
    return [change.alert for change in told if change.kind is ChangeKind.OPENED]
