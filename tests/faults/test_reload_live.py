"""Other rules for a real process: SIGHUP, POST, watched files, under load and under `kill -9`."""

from __future__ import annotations

import json
import random  # noqa: TID251 - seeded
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from .running import Receiver, Sender, Tocsin, installation, until
from .siege import ROUTING, SPECS, attack, bodies, body, complaints, last_event, rules

QUIET = ROUTING + "    - {matchers: ['rule=~\"extra.*\"'], channels: []}\n"
RELOADS = 40
KILLS = 8
BROKEN = "title: broken\nlogsource: {product: auth0}\nlevel: loud\n"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def now_ms() -> int:
    return int(time.time() * 1000)  # noqa: TID251 - near now: nothing is history


def extra(name: str = "extra", *, field: str = "client_name", timespan: str = "60s", gte: int = 3) -> str:
    """A rule that reads a field which no rule of the siege reads."""
    return (
        f"title: {name}\nname: {name}\nid: {name}-1\nlogsource: {{product: auth0}}\n"
        f"detection: {{seen: {{data.{field}: app}}, condition: seen}}\nlevel: low\n"
        f"tocsin:\n    correlate: {{type: event_count, group-by: [data.{field}], timespan: {timespan}, "
        f"condition: {{gte: {gte}}}}}\n"
    )


def write(tocsin: Tocsin, *more: str) -> None:
    """The siege's rules and these, as an editor saves them: whole, in place of the old file."""
    new = tocsin.folder / "rules.yml.new"
    new.write_text("---\n".join([rules(), *more]))
    new.rename(tocsin.folder / "rules.yml")


def apps(count: int, first: int = 0) -> bytes:
    at_ms = now_ms() - 2_000
    return body(
        [
            {"log_id": f"app{n}", "at_ms": at_ms + n, "type": "s", "client_name": "app", "ip": "192.0.2.7"}
            for n in range(first, first + count)
        ]
    )


def reloaded(tocsin: Tocsin, count: int = 1) -> None:
    until(lambda: len(tocsin.events("rules.reloaded")) >= count, lambda: f"a reload; {tocsin.said()[-2000:]}")


def hup(tocsin: Tocsin) -> None:
    assert tocsin.process is not None
    tocsin.process.send_signal(signal.SIGHUP)


def test_sighup_brings_a_new_rule_that_reads_a_new_field(receiver: Receiver) -> None:
    with installation(rules(), ROUTING, receiver.url) as tocsin:
        process = tocsin.start()
        tocsin.ready()
        assert tocsin.post(apps(2)) == 204

        write(tocsin, extra())
        hup(tocsin)
        reloaded(tocsin)
        assert tocsin.post(apps(3, first=2)) == 204
        until(lambda: receiver.got, "an alert of the new rule")

        assert process.poll() is None
        (line,) = tocsin.events("rules.reloaded")
        assert (line["added"], line["removed"], line["changed"]) == (["extra"], [], [])
        (alert,) = receiver.got[0][1]["alerts"]
        assert (alert["rule"], alert["score"]) == ("extra", 3)


def test_a_bad_set_is_refused_and_told_and_the_old_one_works_on(receiver: Receiver) -> None:
    with installation(rules(), ROUTING, receiver.url) as tocsin:
        tocsin.start()
        tocsin.ready()
        write(tocsin, BROKEN)
        hup(tocsin)
        until(lambda: tocsin.events("rules.refused"), "a refusal")

        assert any("rules.yml:" in line["error"] for line in tocsin.events("rule.error"))
        status, text = tocsin.get("/-/ready")
        assert (status, text.splitlines()[0]) == (200, "ready")
        assert "refused" in text
        assert "tocsin_rules_last_reload_successful 0.0" in tocsin.get("/metrics")[1]
        until(lambda: receiver.got, "a notice")
        assert receiver.got[0][1]["alerts"][0]["rule"] == "tocsin_rules_refused"

        write(tocsin)
        command = [*tocsin.command, "reload", "--config", str(tocsin.config)]
        listen = tocsin.config.read_text().replace("127.0.0.1:0", ":".join(map(str, tocsin.ready())))
        tocsin.config.write_text(listen)  # for the command: the service has read it
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == f"{len(SPECS)} rules at work, the same as before"
        assert tocsin.get("/-/ready") == (200, "ready\n")
        assert "tocsin_rules_last_reload_successful 1.0" in tocsin.get("/metrics")[1]


@pytest.mark.slow
def test_watched_files_are_read_when_they_have_come_to_rest(receiver: Receiver) -> None:
    with installation(rules(), QUIET, receiver.url, more="watch_rules: true\n") as tocsin:
        tocsin.start()
        tocsin.ready()
        for number in range(30):  # a storm of changes, half of them mistaken
            write(tocsin, *([BROKEN] if number % 2 else [extra(gte=3 + number)]))
            threading.Event().wait(0.02)
        write(tocsin, extra(), extra("extra2"))
        reloaded(tocsin)

        assert tocsin.events("rules.reloaded")[-1]["added"] == ["extra", "extra2"]
        assert len(tocsin.events("rules.reloaded")) + len(tocsin.events("rules.refused")) <= 2

        (tocsin.folder / "rules.yml").unlink()
        until(lambda: tocsin.events("rules.refused"), "a refusal")
        assert tocsin.get("/-/ready")[0] == 200
        write(tocsin)
        reloaded(tocsin, 2)


def edits(rng: random.Random) -> Iterator[tuple[str, ...]]:
    """What stands beside the siege's rules: new fields, other timespans and thresholds, mistakes."""
    while True:
        yield rng.choice(
            [
                (),
                (extra(),),
                (extra(timespan="90s"),),
                (extra(gte=9), extra("extra2", field="hostname")),
                (extra("extra2", field="connection"),),
                (BROKEN,),
            ]
        )


@pytest.mark.slow
def test_reloads_under_load_change_nothing_of_what_the_other_rules_say(receiver: Receiver) -> None:
    rng = random.Random(7)
    start_ms = now_ms() - 700_000
    records = attack(rng, start_ms, 900)
    with installation(rules(), QUIET, receiver.url) as tocsin:
        sender = Sender(tocsin, [*bodies(rng, records, 120), body([last_event(start_ms)])])
        sender.start()
        try:
            tocsin.start()
            tocsin.ready()
            answers = []
            for more, _ in zip(edits(rng), range(RELOADS), strict=False):
                sender.allowed += 3
                write(tocsin, *more)
                if rng.random() < 0.3:
                    hup(tocsin)
                answers.append(json.loads(tocsin._ask("POST", "/-/reload", b"")[1])["status"])
            sender.finish()
            with tocsin.state() as state:
                until(state.idle, "the end of the work")
                alerts, deliveries = state.alerts.find(limit=10_000), state.outbox.find(limit=10_000)
        finally:
            sender.stop()

    mine = [alert for alert in alerts if not alert.rule.startswith(("extra", "tocsin_"))]
    told = [(id_, one) for id_, one in receiver.got if one["alerts"][0]["rule"] != "tocsin_rules_refused"]
    sent = [d for d in deliveries if not d.notification.group_key.startswith("notice:")]
    assert set(answers) == {"reloaded", "refused"}
    assert not any(alert.warming for alert in mine)
    assert complaints(records, mine, sent, told) == []


@pytest.mark.slow
def test_a_kill_right_after_a_reload_loses_nothing(receiver: Receiver) -> None:
    rng = random.Random(11)
    start_ms = now_ms() - 700_000
    records = attack(rng, start_ms, 600)
    with installation(rules(), QUIET, receiver.url) as tocsin:
        sender = Sender(tocsin, [*bodies(rng, records, 80), body([last_event(start_ms)])])
        sender.start()
        try:
            for number in range(KILLS):
                tocsin.start()
                tocsin.ready()
                sender.allowed += 8
                threading.Event().wait(rng.uniform(0.0, 0.1))
                write(tocsin, extra(timespan=f"{60 + number}s"))
                assert tocsin._ask("POST", "/-/reload", b"")[0] == 200
                threading.Event().wait(rng.choice([0.0, 0.0, 0.01, 0.05]))
                tocsin.kill(children=rng.random() < 0.3)
            tocsin.start()
            tocsin.ready()
            sender.finish()
            with tocsin.state() as state:
                until(state.idle, "the end of the work")
                alerts, deliveries = state.alerts.find(limit=10_000), state.outbox.find(limit=10_000)
        finally:
            sender.stop()

    mine = [alert for alert in alerts if not alert.rule.startswith("extra")]
    assert not any(alert.warming for alert in mine)
    assert complaints(records, mine, deliveries, receiver.got) == []
