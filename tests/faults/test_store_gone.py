"""The store goes away, or fills up: not ready, nothing acknowledged, and all is well again by itself."""

from __future__ import annotations

import os
import random  # noqa: TID251 - seeded
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tocsin.state.connection import open_store
from tocsin.state.embedded import EmbeddedServer

from .running import Receiver, Sender, State, Tocsin, installation, until
from .siege import ROUTING, Record, attack, bodies, body, complaints, last_event, rules


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def valkey_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tocsin-test-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def under_attack(receiver: Receiver, *, server: str = "") -> Iterator[tuple[Tocsin, Sender, list[Record]]]:
    """A ready service, and a sender that has posted 20 of its 60 bodies."""
    rng = random.Random(11)
    start_ms = int(time.time() * 1000) - 700_000  # noqa: TID251 - near now: nothing is history
    records = attack(rng, start_ms, 360)
    with installation(rules(), ROUTING, receiver.url, server=server) as tocsin:
        tocsin.start()
        tocsin.ready()
        sender = Sender(tocsin, [*bodies(rng, records, 60), body([last_event(start_ms)])], allowed=20)
        sender.start()
        try:
            until(lambda: sender.acked == 20, "the first bodies")
            yield tocsin, sender, records
        finally:
            sender.stop()


def finished(state: State, sender: Sender, records: list[Record], receiver: Receiver) -> list[str]:
    """What is wrong once everything is sent, evaluated and told."""
    sender.finish()
    # A lease whose answer was lost with the store ends after two minutes, at worst.
    until(state.idle, "the end of the work", within_s=150)
    return complaints(records, state.alerts.find(limit=10_000), state.outbox.find(limit=10_000), receiver.got)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_store_that_goes_away_and_comes_back_costs_nothing_but_time(
    receiver: Receiver, valkey_folder: Path, how: str
) -> None:
    valkey = EmbeddedServer(valkey_folder).start()
    try:
        with under_attack(receiver, server=f"redis_url: '{valkey.url}'") as (tocsin, sender, records):
            assert tocsin.get("/-/ready")[0] == 200
            assert valkey.pid
            os.kill(valkey.pid, signal.SIGSTOP if how == "stopped" else signal.SIGKILL)
            sender.allowed = 25

            until(lambda: tocsin.get("/-/ready")[0] == 503, "not ready")
            assert tocsin.get("/-/healthy")[0] == 200
            assert tocsin.post(body(records[:1])) == 503
            assert sender.acked == 20

            if how == "stopped":
                os.kill(valkey.pid, signal.SIGCONT)
            else:
                until(valkey.revive, "its death")
            with tocsin.state(valkey.url) as state:
                assert finished(state, sender, records, receiver) == []
            until(lambda: tocsin.get("/-/ready")[0] == 200, "readiness")
            assert tocsin.starts == 1
            assert tocsin.terminate() == 0
    finally:
        valkey.stop()


@pytest.mark.slow
def test_a_private_server_that_is_killed_is_started_again(receiver: Receiver) -> None:
    with under_attack(receiver) as (tocsin, sender, records):
        (server,) = tocsin.children()
        os.kill(server, signal.SIGKILL)
        sender.allowed = 40
        until(lambda: tocsin.events("store.revived"), lambda: f"a new server: {tocsin.said()[-3000:]}")

        with tocsin.state() as state:
            assert finished(state, sender, records, receiver) == []
        until(lambda: tocsin.get("/-/ready")[0] == 200, "readiness")
        assert tocsin.starts == 1


@pytest.mark.slow
def test_a_full_store_takes_nothing_tells_somebody_once_and_goes_on_when_there_is_room(
    receiver: Receiver, valkey_folder: Path
) -> None:
    most = 20_000_000
    with EmbeddedServer(valkey_folder, maxmemory=str(most)) as valkey:
        other = open_store(valkey.url, prefix="other")
        with under_attack(receiver, server=f"redis_url: '{valkey.url}'") as (tocsin, sender, records):
            while other.filled()[0] < 0.9 * most:
                other.client.rpush("ballast", b"x" * 100_000)

            until(lambda: tocsin.post(body(records[:1])) == 503, "a refusal", every_s=0.2)
            assert tocsin.get("/-/ready")[0] == 503
            sender.allowed = 30
            until(lambda: told(receiver, "tocsin_store_full") == 1, "the notice")
            assert sender.acked == 20

            other.client.delete("ballast")
            with tocsin.state(valkey.url) as state:
                assert finished(state, sender, records, receiver) == []
            assert told(receiver, "tocsin_store_full") == 1
            assert tocsin.get("/-/ready")[0] == 200
        other.close()


def told(receiver: Receiver, rule: str) -> int:
    return sum(any(a["rule"] == rule for a in message["alerts"]) for _, message in receiver.got)
