from __future__ import annotations

from pathlib import Path

import pytest

from tocsin.errors import ConfigError, StoreUnavailable, StoreUnfit
from tocsin.state.connection import Store, open_store, redact
from tocsin.state.embedded import EmbeddedServer

SWEEP = [0, 10, "events", 0, "a", "b", 0]


def test_a_key_is_in_our_corner_and_on_the_partition(store: Store) -> None:
    assert store.key("w", b"\xff") == f"{store.prefix}:{{p0}}:w:".encode() + b"\xff"


def test_two_prefixes_on_one_server_do_not_meet(store: Store, valkey: EmbeddedServer) -> None:
    other = open_store(valkey.url, prefix=f"{store.prefix}-other")
    store.client.set(store.key("a"), 1)

    other.erase()

    assert other.client.get(other.key("a")) is None
    assert store.client.get(store.key("a")) == b"1"
    other.close()


def test_erasing_takes_a_prefix_literally(store: Store, valkey: EmbeddedServer) -> None:
    wild = open_store(valkey.url, prefix="test-*")
    store.client.set(store.key("a"), 1)

    wild.erase()

    assert store.client.get(store.key("a")) == b"1"
    wild.close()


def test_erasing_leaves_nothing(store: Store) -> None:
    for n in range(1_200):
        store.client.set(store.key("n", str(n)), n)

    store.erase()

    assert list(store.client.scan_iter(match=f"{store.prefix}*")) == []


def test_a_newer_schema_is_refused(store: Store, valkey: EmbeddedServer) -> None:
    store.client.set(store.key("schema"), 99)

    with pytest.raises(StoreUnfit, match="newer tocsin \\(schema 99"):
        open_store(valkey.url, prefix=store.prefix)


def test_nobody_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        open_store(f"unix://{tmp_path}/none.sock")


@pytest.mark.parametrize("url", ["http://localhost", "localhost:6379", "", "memory"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="write redis://"):
        open_store(url)


def test_a_message_never_shows_the_password() -> None:
    assert redact("redis://user:s3cret@host:6379/2?password=s3cret") == "redis://host:6379/2"


def test_a_full_server_is_unavailable(store: Store) -> None:
    store.client.config_set("maxmemory", "1")
    try:
        with pytest.raises(StoreUnavailable, match="takes no writes"), store.reaching():
            store.client.set(store.key("a"), 1)
    finally:
        store.client.config_set("maxmemory", "512mb")


def test_a_durable_server_is_accepted(store: Store) -> None:
    store.check_durable()


@pytest.mark.parametrize(
    ("setting", "value", "normal", "complaint"),
    [
        ("maxmemory-policy", "allkeys-lru", "noeviction", "drops keys"),
        ("appendonly", "no", "yes", "forgets everything"),
    ],
)
def test_a_forgetful_server_is_refused(
    tmp_path: Path, setting: str, value: str, normal: str, complaint: str
) -> None:
    with EmbeddedServer(tmp_path / "v") as server:
        store = open_store(server.url)
        store.client.config_set(setting, value)

        with pytest.raises(StoreUnfit, match=complaint):
            store.check_durable()
        store.check_durable(unsafe=True)
        store.close()


def test_what_is_done_meanwhile_is_done_once_and_the_answer_comes(store: Store) -> None:
    done: list[str] = []

    reply = store.script("sweep")([store.key("g")], SWEEP, lambda: done.append("once"))

    assert reply[0] == b"0"
    assert done == ["once"]


def test_an_error_of_what_is_done_meanwhile_leaves_no_answer_behind(store: Store) -> None:
    def fail() -> None:
        raise LookupError("nothing there")

    store.client.set(store.key("a"), 1)
    with pytest.raises(LookupError):
        store.script("sweep")([store.key("g")], SWEEP, fail)

    assert store.client.get(store.key("a")) == b"1"
