"""What a reload says, what it refuses, and what several at once come to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tocsin.clock import ManualClock, to_ms
from tocsin.engine import Engine
from tocsin.errors import StoreUnavailable
from tocsin.model.rule_state import RuleState
from tocsin.model.watermark import Watermarks
from tocsin.reload import Changes, Refused, Reloader, load_of, reloader, signature_of
from tocsin.reload.reloader import warming_until_ms
from tocsin.rules.load import Loaded, load_rules
from tocsin.settings import Settings, shipped
from tocsin.state.evidence import MemoryEvidence
from tocsin.state.rule_states import MemoryRuleStates
from tocsin.state.windows_memory import MemoryWindows
from tocsin.telemetry import REGISTRY

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOON = 10.0
COUNTING = """
title: Guessing
name: guessing
id: 0001
logsource: {product: auth0}
detection: {seen: {data.type: fp}, condition: seen}
level: medium
tocsin:
    params: {threshold: {default: 5, min: 2, max: 50}}
    correlate: {type: event_count, group-by: [data.ip], timespan: 60s, condition: {gte: $threshold}}
"""
PLAIN = """
title: Trusted
name: trusted
id: 0002
logsource: {product: auth0}
detection: {seen: {data.ip|expand: '%ips%'}, condition: seen}
level: low
"""


class Source:
    """Remembers which fields it was to hold."""

    def __init__(self) -> None:
        self.held: list[frozenset[str]] = []

    def hold(self, fields: frozenset[str]) -> None:
        self.held.append(fields)


class States(MemoryRuleStates):
    """Away when told to; notes which rules were at work when it was written."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.on_save: Callable[[], None] = lambda: None

    def save(self, states: Mapping[str, RuleState]) -> None:
        if self.away:
            raise StoreUnavailable("away")
        self.on_save()
        super().save(states)


@dataclass
class House:
    """A reloader and what it works with."""

    folder: Path
    states: States = field(default_factory=States)
    source: Source = field(default_factory=Source)
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW))

    def __post_init__(self) -> None:
        self.write("rules.yml", COUNTING + "---" + PLAIN).write("overlay.yml", "").write("ips.txt", "1.2.3.4")
        self.settings = Settings(
            rules=[self.folder / "rules.yml"],
            overlay=self.folder / "overlay.yml",
            lists={"ips": self.folder / "ips.txt"},
        )
        self.watermarks = Watermarks(NOW)
        self.reloader = Reloader(
            self.settings,
            load_of(self.settings),
            signature=signature_of(self.settings),
            engine=lambda ruleset: Engine(ruleset, MemoryWindows(), MemoryEvidence()),
            states=self.states,
            sources=[self.source],
            watermarks=self.watermarks,
            clock=self.clock,
        )

    def write(self, name: str, text: str) -> House:
        (self.folder / name).write_text(text)
        return self

    def sees_events(self) -> House:
        self.watermarks.advance("auth0", "acme", [to_ms(NOW)], timedelta(), NOW)
        return self

    def edit(self, old: str, new: str) -> House:
        path = self.folder / "rules.yml"
        assert old in path.read_text()
        return self.write("rules.yml", path.read_text().replace(old, new))


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    made.reloader.begin()
    return made


def metric(name: str) -> float:
    found = REGISTRY.get_sample_value(f"tocsin_{name}")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("edit", "changed"),
    [
        (lambda house: house, ()),
        (lambda house: house.edit("title: Guessing", "# a comment\ntitle: Guessing"), ()),
        (lambda house: house.edit("title: Guessing", "title: Guessed"), ("guessing",)),
        (lambda house: house.edit("level: medium", "level: high"), ("guessing",)),
        (lambda house: house.edit("default: 5", "default: 6"), ("guessing",)),
        (lambda house: house.edit("condition: {gte: $", "condition: {gt: $"), ("guessing",)),
        (lambda house: house.edit("data.type: fp", "data.type: fu"), ("guessing",)),
        (lambda house: house.write("overlay.yml", "guessing: {params: {threshold: 9}}"), ("guessing",)),
        (lambda house: house.write("overlay.yml", "guessing: {labels: {team: a}}"), ("guessing",)),
        (lambda house: house.write("overlay.yml", "trusted: {severity: high}"), ("trusted",)),
        (lambda house: house.write("ips.txt", "1.2.3.4\n5.6.7.8"), ("trusted",)),
    ],
    ids=["nothing", "a comment", "title", "level", "threshold", "gt", "selection", "overlay param",
         "overlay label", "overlay severity", "list"],
)  # fmt: skip
def test_it_says_which_rules_changed(
    house: House, edit: Callable[[House], House], changed: tuple[str, ...]
) -> None:
    answer = edit(house).reloader.reload()

    assert isinstance(answer, Changes)
    assert (answer.added, answer.removed, answer.changed) == ((), (), changed)
    assert edit is not None
    assert house.reloader.reload() == Changes(rules=2)


@pytest.mark.parametrize(
    ("overlay", "removed"),
    [("guessing: {enabled: false}", "guessing"), ("trusted: {enabled: false}", "trusted")],
)
def test_a_rule_that_is_switched_off_is_removed_and_added_again(
    house: House, overlay: str, removed: str
) -> None:
    off = house.write("overlay.yml", overlay).reloader.reload()
    on = house.write("overlay.yml", "").reloader.reload()

    assert isinstance(off, Changes)
    assert isinstance(on, Changes)
    assert (off.rules, off.removed, on.rules, on.added) == (1, (removed,), 2, (removed,))


@pytest.mark.parametrize(
    ("breaks", "told"),
    [
        (lambda house: house.edit("level: medium", "level: loud"), "rules.yml:7:8: "),
        (lambda house: house.write("overlay.yml", "guesing: {}"), "overlay.yml:1:1: "),
        (lambda house: house.write("overlay.yml", "guessing: {params: {threshold: 99}}"), "overlay.yml:1:"),
        (lambda house: (house.folder / "rules.yml").unlink() or house, "rules.yml:1:1: "),
        (lambda house: (house.folder / "ips.txt").unlink() or house, "ips.txt:1:1: "),
        (lambda house: (house.folder / "overlay.yml").unlink() or house, "overlay.yml:1:1: "),
        (lambda house: house.write("rules.yml", ""), "rules.yml:1:1: "),
    ],
    ids=["rule", "overlay", "bound", "file gone", "list gone", "overlay gone", "emptied"],
)
def test_a_mistake_anywhere_refuses_all_and_leaves_everything(
    house: House, breaks: Callable[[House], House], told: str
) -> None:
    house.sees_events()
    before, held, states = house.reloader.rules.now, list(house.source.held), house.states.load()

    answer = breaks(house).reloader.reload()

    assert isinstance(answer, Refused)
    assert any(told in str(error) for error in answer.errors), [str(error) for error in answer.errors]
    assert house.reloader.rules.now is before
    assert (house.source.held, house.states.load()) == (held, states)
    assert house.reloader.refused == answer


def test_a_geo_database_that_cannot_be_read_refuses_the_set(house: House) -> None:
    broken = house.write("geo.mmdb", "nothing of the kind").folder / "geo.mmdb"
    house.reloader._settings = house.settings.model_copy(update={"geo": [broken]})

    answer = house.reloader.reload()

    assert isinstance(answer, Refused)
    assert "geo.mmdb" in str(answer.errors[0])


def test_the_shipped_rules_read_twice_are_the_same(house: House) -> None:
    house.reloader._settings = house.settings.model_copy(
        update={"rules": [shipped("rules")], "overlay": None, "lists": {}}
    )
    first = house.reloader.reload()
    assert isinstance(first, Changes)
    assert (len(first.added), len(first.removed)) == (first.rules, 2)
    held = len(house.source.held[-1])

    assert house.reloader.reload() == replace(first, added=(), removed=())
    assert len(house.source.held[-1]) == held


def test_a_folder_that_is_gone_or_empty_is_refused(tmp_path: Path) -> None:
    rules = tmp_path / "more"
    rules.mkdir()
    (rules / "a.yml").write_text(COUNTING)
    house = House(tmp_path)
    house.reloader._settings = house.settings.model_copy(update={"rules": [rules]})
    assert isinstance(house.reloader.reload(), Changes)

    (rules / "a.yml").unlink()
    empty = house.reloader.reload()
    rules.rmdir()
    gone = house.reloader.reload()

    assert isinstance(empty, Refused)
    assert isinstance(gone, Refused)
    assert len(house.reloader.rules.now.ruleset.rules) == 1


def test_all_mistakes_are_told_with_their_places(house: House) -> None:
    house.edit("level: medium", "level: loud").edit("level: low", "level: quiet")

    answer = house.reloader.reload()

    assert isinstance(answer, Refused)
    record = answer.as_record()
    assert record["status"] == "refused"
    assert [(error["line"], error["column"]) for error in record["errors"]] == [(7, 8), (17, 8)]
    assert all(error["file"].endswith("rules.yml") and error["message"] for error in record["errors"])


def test_metrics_tell_how_the_last_reload_went(house: House) -> None:
    taken = NOW + timedelta(minutes=5)
    house.clock.set(taken)
    house.reloader.reload()
    assert metric("rules_last_reload_successful") == 1
    assert metric("rules_last_reload_success_timestamp_seconds") == taken.timestamp()
    assert metric("rules_loaded") == 2

    house.clock.set(taken + timedelta(minutes=5))
    house.edit("level: medium", "level: loud").reloader.reload()
    assert metric("rules_last_reload_successful") == 0
    assert metric("rules_last_reload_success_timestamp_seconds") == taken.timestamp()
    assert metric("rules_loaded") == 2


def test_sources_decode_what_the_new_rules_read(house: House) -> None:
    house.edit("data.type: fp", "data.client_name: app").reloader.reload()

    assert "client_name" in house.source.held[-1]


def test_what_a_crash_must_find_is_written_before_anything_changes(house: House) -> None:
    house.sees_events()
    before = house.reloader.rules.now
    seen: list[object] = []
    house.states.on_save = lambda: seen.append(house.reloader.rules.now)

    house.edit("timespan: 60s", "timespan: 90s").reloader.reload()

    assert seen == [before]
    assert house.reloader.rules.now is not before


def test_without_the_store_the_old_rules_stay_and_the_next_try_works(house: House) -> None:
    house.sees_events().edit("timespan: 60s", "timespan: 90s")
    before = house.reloader.rules.now
    house.states.away = True

    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            house.reloader.reload()
    assert house.reloader.rules.now is before
    assert house.reloader.look().differs(house.reloader.tried)  # a watch will ask again

    house.states.away = False
    answer = house.reloader.reload()
    assert isinstance(answer, Changes)
    assert (answer.changed, answer.warming) == (("guessing",), ("guessing",))


def test_a_change_while_the_files_are_read_is_seen_by_the_next_look(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loading(settings: Settings) -> Loaded:
        loaded = load_of(settings)
        house.edit("level: medium", "level: critical")
        return loaded

    monkeypatch.setattr(reloader, "load_of", loading)
    house.reloader.reload()

    assert house.reloader.look().differs(house.reloader.tried)


class Gate:
    """Loads of rules, one at a time through a gate; how many, and whether two were ever at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loads = self.at_once = self.most = 0
        self.begun, self.opened = threading.Event(), threading.Event()
        monkeypatch.setattr(reloader, "load_of", self.load)

    def load(self, settings: Settings) -> Loaded:
        self.loads += 1
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        self.begun.set()
        assert self.opened.wait(SOON)
        loaded = load_of(settings)
        self.at_once -= 1
        return loaded


def storm(house: House, gate: Gate, asking: int = 8) -> list[Changes | Refused]:
    """One asks, and while it is served the files change and many ask; the answers of the many."""
    with ThreadPoolExecutor(asking + 1) as pool:
        first = pool.submit(house.reloader.reload)
        assert gate.begun.wait(SOON)
        house.edit("default: 5", "default: 7")
        asked = [pool.submit(house.reloader.reload) for _ in range(asking)]
        while house.reloader._asked < asking + 1:
            assert not first.done()
        gate.opened.set()
        first.result(SOON)
        return [one.result(SOON) for one in asked]


def test_two_at_once_are_one_after_the_other_and_a_storm_is_two(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)

    answers = storm(house, gate)

    assert gate.most == 1
    assert gate.loads == 2
    assert len({id(answer) for answer in answers}) == 1
    threshold = next(
        rule.rule.threshold for rule in house.reloader.rules.now.ruleset.rules if rule.correlation
    )
    assert threshold == 7  # whoever asked after the change sees it at work


def test_who_asked_after_the_files_were_read_is_not_given_the_old_answer(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mistake: all who wait get the answer of the one that is under way."""

    def mistaken(self: Reloader) -> Changes | Refused:
        self._asked += 1
        before = self._answered
        with self._one:
            if self._answered == before:
                self._answer = self._read_anew()
                self._answered += 1
            return self._answer

    monkeypatch.setattr(Reloader, "reload", mistaken)
    gate = Gate(monkeypatch)

    storm(house, gate)

    assert gate.loads == 1  # and so the change was not read


@pytest.mark.parametrize(
    ("type_", "condition", "spans"),
    [
        ("event_count", "{gte: 5}", 1),
        ("event_count", "{lt: 5}", 2),  # the first window may be the rest of one that began before
        ("value_sum", "{lt: 5, field: data.n}", 2),
        ("value_sum", "{gte: 5, field: data.n}", 2),  # slides, but the watermark decides: rather too long
    ],
)
def test_windows_that_their_first_member_opens_are_warming_for_two_of_them(
    tmp_path: Path, type_: str, condition: str, spans: int
) -> None:
    house = House(tmp_path).edit("event_count", type_).edit("{gte: $threshold}", condition)
    house = house.edit("    params: {threshold: {default: 5, min: 2, max: 50}}\n", "")
    ruleset = load_of(house.settings).ruleset
    [state] = [rule.correlation.spec.state for rule in ruleset.rules if rule.correlation]

    assert warming_until_ms(ruleset, [RuleState(state, 7)]) == {state: 7 + spans * 60_000}


def test_what_is_new_is_warming_until_all_that_is_remembered_came_since(tmp_path: Path) -> None:
    file = tmp_path / "new.yml"
    file.write_text(
        "title: New\nname: new\nlogsource: {product: auth0}\n"
        "detection: {login: {data.type: s}, condition: login}\nlevel: low\n"
        "tocsin: {correlate: {type: first_seen, field: data.ip, group-by: [data.user_id], remember: 30d}}\n"
    )
    ruleset = load_rules([file])
    [state] = [rule.correlation.spec.state for rule in ruleset.rules if rule.correlation]

    assert warming_until_ms(ruleset, [RuleState(state, 7)]) == {state: 7 + 30 * 86_400_000}
