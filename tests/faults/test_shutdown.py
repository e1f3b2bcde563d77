"""SIGTERM under load, a second process, a dry run, a heartbeat: what an operator's tools rely on."""

from __future__ import annotations

import random  # noqa: TID251 - seeded
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

from .running import Receiver, Sender, Tocsin, installation, until
from .siege import ROUTING, attack, bodies, body, complaints, last_event, rules

STOPS = 6


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def now_ms() -> int:
    return int(time.time() * 1000)  # noqa: TID251 - near now: nothing is history


@pytest.mark.slow
def test_sigterm_under_load_ends_it_in_time_and_loses_and_repeats_nothing(receiver: Receiver) -> None:
    rng = random.Random(5)
    start_ms = now_ms() - 700_000
    records = attack(rng, start_ms, STOPS * 60)
    took = []
    with installation(rules(), ROUTING, receiver.url) as tocsin:
        sender = Sender(tocsin, [*bodies(rng, records, STOPS * 10), body([last_event(start_ms)])])
        sender.start()
        try:
            for _ in range(STOPS):
                tocsin.start()
                sender.allowed += 10
                tocsin.ready()
                threading.Event().wait(rng.uniform(0.0, 0.3))
                began = time.monotonic()
                assert tocsin.terminate() == 0, tocsin.said()[-3000:]
                took.append(time.monotonic() - began)
            tocsin.start()
            tocsin.ready()
            sender.finish()
            with tocsin.state() as state:
                until(state.idle, "the end of the work")
                alerts, deliveries = state.alerts.find(limit=10_000), state.outbox.find(limit=10_000)
        finally:
            sender.stop()

    assert complaints(records, alerts, deliveries, receiver.got) == []
    assert len(receiver.got) == len({id_ for id_, _ in receiver.got})
    assert sum(delivery.ambiguous for delivery in deliveries) == 0
    assert max(took) < 15


def test_ctrl_c_is_a_clean_end_too(receiver: Receiver) -> None:
    with installation(rules(), ROUTING, receiver.url) as tocsin:
        process = tocsin.start()
        tocsin.ready()
        process.send_signal(signal.SIGINT)

        assert process.wait(15) == 0


def test_a_second_process_on_the_same_data_directory_ends_with_75(receiver: Receiver) -> None:
    with installation(rules(), ROUTING, receiver.url) as tocsin:
        first = tocsin.start()
        tocsin.ready()
        second = subprocess.run(
            [*tocsin.command, "run", "--config", str(tocsin.config)],
            capture_output=True, text=True, check=False, timeout=30, stdin=subprocess.DEVNULL,
        )  # fmt: skip

        assert second.returncode == 75
        assert f"in use by process {first.pid}" in second.stderr
        assert tocsin.get("/-/ready")[0] == 200


def test_it_says_what_it_listens_on(receiver: Receiver) -> None:
    with installation(rules(), ROUTING, receiver.url) as tocsin:
        tocsin.start()
        host, port = tocsin.ready()

        (line,) = tocsin.events("service.ready")
        assert (line["listen"], line["sources"]) == (f"{host}:{port}", ["tenant"])


def test_a_token_that_cannot_be_read_is_told_before_anything_is_opened(receiver: Receiver) -> None:
    with installation(rules(), ROUTING, receiver.url) as tocsin:
        (tocsin.folder / "token").unlink()
        process = tocsin.start()

        assert process.wait(15) == 1
        assert "sources.tenant.tokens" in tocsin.said()
        assert not (tocsin.folder / "data").exists()


def burst(ip: str, count: int = 3) -> bytes:
    """Failures of one address, now: enough for an alert."""
    at_ms = now_ms() - 5_000
    return body(
        [
            {"log_id": f"{ip}-{n}", "at_ms": at_ms + n, "type": "fp", "ip": ip, "user_name": f"u{n}"}
            for n in range(count)
        ]
    )


def test_a_dry_run_prints_sends_nothing_and_leaves_the_state_alone(receiver: Receiver) -> None:
    with installation(rules(), ROUTING, receiver.url) as tocsin:
        before = keys_after_a_life(tocsin, receiver, "203.0.113.1")
        told = len(receiver.got)

        tocsin.options = ("--dry-run",)
        tocsin.start()
        tocsin.ready()
        assert tocsin.post(burst("203.0.113.2")) == 204
        until(lambda: "203.0.113.2" in tocsin.out.read_text(), "a printed alert")
        assert tocsin.terminate() == 0

        assert len(receiver.got) == told
        tocsin.options = ()
        tocsin.start()
        tocsin.ready()
        with tocsin.state() as state:
            assert {alert.group["data.ip"] for alert in state.alerts.find()} == {"203.0.113.1"}
            assert set(state.store.client.keys("*")) == before


def keys_after_a_life(tocsin: Tocsin, receiver: Receiver, ip: str) -> set[bytes]:
    """One alert, told; what the store holds after it."""
    tocsin.start()
    tocsin.ready()
    assert tocsin.post(burst(ip)) == 204
    with tocsin.state() as state:
        until(lambda: state.outbox.find(status="sent") and not state.outbox.waiting("hook"), "an alert told")
        keys = set(state.store.client.keys("*"))
    assert tocsin.terminate() == 0
    return keys


def test_a_heartbeat_arrives(receiver: Receiver) -> None:
    with installation(
        rules(), ROUTING, receiver.url, more="heartbeat: {channel: hook, every: 1s}\n"
    ) as tocsin:
        tocsin.start()
        tocsin.ready()

        until(lambda: receiver.got, "a heartbeat")
        assert receiver.got[0][1]["alerts"][0]["rule"] == "tocsin_heartbeat"
