"""The receiver over real HTTP: uvicorn on a port of its own, real sockets, an inbox in memory."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from prometheus_client import CollectorRegistry

from tocsin.api import HttpServer, Limits, make_app
from tocsin.clock import ManualClock
from tocsin.errors import ConfigError, StoreUnavailable
from tocsin.reload import Changes
from tocsin.settings import Listen
from tocsin.telemetry import REGISTRY

TOKEN = b"Bearer 0123456789abcdef0123456789abcdef"
OLD_TOKEN = b"the-token-before-it-was-rotated-0123456789"
LIMIT = 5 * 1024 * 1024
RECORD = b'[{"log_id":"90020150327130809000","data":{"date":"2015-03-27T13:08:09.000Z","type":"f"}}]'


class MemoryInbox:
    """Keeps bodies; fails when told to."""

    def __init__(self) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        self.failure: Exception | None = None

    def append(self, source: str, body: bytes, now: datetime) -> str:
        if self.failure is not None:
            raise self.failure
        self.bodies.append((source, body))
        return str(len(self.bodies))


class House:
    """A running receiver."""

    def __init__(self, inbox: MemoryInbox, address: Listen) -> None:
        self.inbox, self.address = inbox, address
        self.url = f"http://{address}"
        self.not_ready: str | None = None
        self.http = httpx2.Client(base_url=self.url, timeout=10, trust_env=False)

    def post(self, body: bytes = RECORD, source: str = "tenant", **headers: str | bytes) -> httpx2.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.post(f"/v1/ingest/{source}", content=body, headers=named)

    def raw(self, request: bytes, *, end: bool = False) -> bytes:
        """Send bytes; all that comes back until the other side closes."""
        with socket.create_connection(self.address, timeout=10) as wire:
            try:
                wire.sendall(request)
                if end:
                    wire.shutdown(socket.SHUT_WR)
            except ConnectionError:
                pass
            return read_all(wire)


def read_all(wire: socket.socket) -> bytes:
    got = b""
    try:
        while chunk := wire.recv(65536):
            got += chunk
    except ConnectionError:
        pass
    return got


@contextmanager
def house(limits: Limits | None = None) -> Iterator[House]:
    inbox = MemoryInbox()
    made: list[House] = []
    app = make_app(
        inbox=inbox,
        tokens={"tenant": [TOKEN, OLD_TOKEN], "other": [b"Bearer " + b"x" * 40], "open": []},
        clock=ManualClock(datetime(2026, 1, 1, tzinfo=UTC)),
        readiness=lambda: made[0].not_ready,
        registry=CollectorRegistry(),
        reload=lambda: Changes(rules=0),
    )
    server = HttpServer(app, Listen("127.0.0.1", 0), limits)
    made.append(House(inbox, server.start()))
    try:
        yield made[0]
    finally:
        server.stop(timedelta(seconds=1))
        made[0].http.close()
        assert not server.alive


@pytest.fixture(scope="module")
def shared_house() -> Iterator[House]:
    with house() as running:
        yield running


@pytest.fixture
def receiver(shared_house: House) -> House:
    shared_house.inbox.bodies.clear()
    shared_house.inbox.failure = shared_house.not_ready = None
    return shared_house


def test_204_means_the_body_was_kept_as_it_came(receiver: House) -> None:
    answer = receiver.post(authorization=TOKEN)

    assert answer.status_code == 204
    assert answer.content == b""
    assert receiver.inbox.bodies == [("tenant", RECORD)]


def test_either_of_two_tokens_is_taken_while_they_are_rotated(receiver: House) -> None:
    assert receiver.post(authorization=OLD_TOKEN).status_code == 204


@pytest.mark.parametrize(
    ("source", "headers"),
    [
        ("tenant", []),
        ("tenant", [("Authorization", b"")]),
        ("tenant", [("Authorization", b"0123456789abcdef0123456789abcdef")]),  # no Bearer is added
        ("tenant", [("Authorization", TOKEN.upper())]),
        ("tenant", [("Authorization", TOKEN + b"x")]),
        ("tenant", [("Authorization", TOKEN[:-1])]),
        ("tenant", [("Authorization", "Bearer ñ\u2603".encode())]),
        ("tenant", [("Authorization", b"\xff\xfe\x80")]),
        ("tenant", [("Authorization", TOKEN), ("Authorization", TOKEN)]),
        ("tenant", [("Authorization", b"x" * 20_000)]),
        ("tenant", [("Authorization", b"Bearer " + b"x" * 40)]),  # another source's
        ("nobody", [("Authorization", TOKEN)]),
        ("nobody", []),
        ("nobody", [("Authorization", b"")]),
        ("TENANT", [("Authorization", TOKEN)]),
        ("%74enant%00", [("Authorization", TOKEN)]),
    ],
)
def test_every_wrong_authorization_gets_the_same_401(
    receiver: House, source: str, headers: list[tuple[str, bytes]]
) -> None:
    answer = receiver.http.post(f"/v1/ingest/{source}", content=RECORD, headers=headers)

    generic = receiver.post()
    assert answer.status_code == 401
    assert answer.content == generic.content
    assert _shape(answer) == _shape(generic)
    assert receiver.inbox.bodies == []


def _shape(answer: httpx2.Response) -> list[tuple[str, str]]:
    return [(name, value) for name, value in answer.headers.items() if name != "date"]


def test_a_megabyte_of_authorization_gets_a_401_too(receiver: House) -> None:
    answer = receiver.http.post(
        "/v1/ingest/tenant", content=RECORD, headers={"Authorization": b"x" * 1024 * 1024}
    )

    assert answer.status_code == 401
    assert receiver.post(authorization=TOKEN).status_code == 204


def test_a_source_without_tokens_takes_what_comes(receiver: House) -> None:
    assert receiver.post(source="open").status_code == 204


@pytest.mark.parametrize("header", ["origin", "sec_fetch_site"])
def test_a_web_page_cannot_post_to_an_open_source(receiver: House, header: str) -> None:
    answer = receiver.post(source="open", **{header: "https://evil.example"})

    assert answer.status_code == 401
    assert receiver.inbox.bodies == []


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
@pytest.mark.parametrize("source", ["tenant", "nobody"])
def test_only_post_is_a_way_in(receiver: House, method: str, source: str) -> None:
    answer = receiver.http.request(method, f"/v1/ingest/{source}", headers={"Authorization": TOKEN})

    assert answer.status_code == 405


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "identity, gzip", "GZIP", ""])
def test_an_encoded_body_is_refused(receiver: House, encoding: str) -> None:
    assert receiver.post(authorization=TOKEN, content_encoding=encoding).status_code == 415
    assert receiver.inbox.bodies == []


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/plain", "application/x-ndjson", "nonsense"]
)
def test_content_type_does_not_matter(receiver: House, content_type: str) -> None:
    assert receiver.post(authorization=TOKEN, content_type=content_type).status_code == 204


def test_identity_is_no_encoding(receiver: House) -> None:
    assert receiver.post(authorization=TOKEN, content_encoding="identity").status_code == 204


@pytest.mark.parametrize("body", [b"", b"  \r\n\t"])
def test_an_empty_body_is_refused(receiver: House, body: bytes) -> None:
    assert receiver.post(body, authorization=TOKEN).status_code == 400


def test_a_body_of_exactly_5_mb_is_taken(receiver: House) -> None:
    assert receiver.post(b"x" * LIMIT, authorization=TOKEN).status_code == 204


def test_a_longer_body_is_refused(receiver: House) -> None:
    assert receiver.post(b"x" * (LIMIT + 1), authorization=TOKEN).status_code == 413
    assert receiver.inbox.bodies == []


def test_an_announced_long_body_is_refused_before_it_is_sent(receiver: House) -> None:
    head = b"POST /v1/ingest/tenant HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: " + TOKEN
    answer = receiver.raw(head + b"\r\nContent-Length: 10000000000\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 413 ")


def test_an_endless_chunked_body_is_refused_at_5_mb(receiver: House) -> None:
    head = b"POST /v1/ingest/tenant HTTP/1.1\r\nHost: x\r\nAuthorization: " + TOKEN
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"

    with socket.create_connection(receiver.address, timeout=10) as wire:
        wire.sendall(head + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 81)  # 5.06 MB, and no end

        assert wire.recv(65536).startswith(b"HTTP/1.1 413 ")
    assert receiver.inbox.bodies == []


def test_a_strangers_body_is_not_read(receiver: House) -> None:
    with socket.create_connection(receiver.address, timeout=10) as wire:
        wire.sendall(b"POST /v1/ingest/tenant HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n")

        assert wire.recv(65536).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("failure", [StoreUnavailable("redis://:hunter2@10.0.0.1:6379/0 is full")])
def test_a_store_that_takes_nothing_is_a_503_with_retry_after(receiver: House, failure: Exception) -> None:
    receiver.inbox.failure = failure

    answer = receiver.post(authorization=TOKEN)

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "hunter2" not in answer.text
    assert "10.0.0.1" not in answer.text


def test_a_bug_behind_the_door_never_looks_like_success(receiver: House) -> None:
    receiver.inbox.failure = RuntimeError("a bug")

    answer = receiver.post(authorization=TOKEN)

    assert answer.status_code == 500
    assert "a bug" not in answer.text
    receiver.inbox.failure = None
    assert receiver.post(authorization=TOKEN).status_code == 204


def test_answers_are_counted_but_a_strangers_names_are_no_time_series(receiver: House) -> None:
    def count(source: str, status: str) -> float | None:
        return REGISTRY.get_sample_value("tocsin_ingest_requests_total", {"source": source, "status": status})

    before = count("tenant", "204") or 0
    receiver.post(authorization=TOKEN)
    receiver.post(source="made-up-by-a-stranger")

    assert count("tenant", "204") == before + 1
    assert count("made-up-by-a-stranger", "401") is None
    assert count("unknown", "401")


def test_a_captured_request_replayed_is_kept_again_byte_for_byte(receiver: House) -> None:
    request = (
        b"POST /v1/ingest/tenant HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: "
        + TOKEN
        + f"\r\nContent-Length: {len(RECORD)}\r\n\r\n".encode()
        + RECORD
    )

    answers = [receiver.raw(request) for _ in range(20)]

    assert all(answer.startswith(b"HTTP/1.1 204 ") for answer in answers)
    assert (
        receiver.inbox.bodies == [("tenant", RECORD)] * 20
    )  # the same event ids: counting them once is the engine's


def test_a_body_cut_short_is_not_kept(receiver: House) -> None:
    head = b"POST /v1/ingest/tenant HTTP/1.1\r\nHost: x\r\nAuthorization: " + TOKEN

    receiver.raw(head + b"\r\nContent-Length: 100\r\n\r\n" + b"[{", end=True)

    assert receiver.post(b"[]", authorization=TOKEN).status_code == 204
    assert receiver.inbox.bodies == [("tenant", b"[]")]


@pytest.mark.parametrize(
    "request_",
    [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GARBAGE\r\n\r\n", b"POST /v1/ingest/tenant HTTP/1.1\r\n\r\n"],
)
def test_what_is_not_http_is_told_so(receiver: House, request_: bytes) -> None:
    assert receiver.raw(request_, end=True).startswith(b"HTTP/1.1 400 ")


def test_smuggling_with_two_lengths_is_refused(receiver: House) -> None:
    head = b"POST /v1/ingest/tenant HTTP/1.1\r\nHost: x\r\nAuthorization: " + TOKEN

    answer = receiver.raw(head + b"\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n[{}]", end=True)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert receiver.inbox.bodies == []


def test_a_trailing_slash_is_not_redirected(receiver: House) -> None:
    assert receiver.http.post("/v1/ingest/tenant/", content=RECORD).status_code == 404


def test_healthy_is_always_healthy(receiver: House) -> None:
    receiver.not_ready = "the store is gone"

    assert receiver.http.get("/-/healthy").status_code == 200


def test_ready_says_why_not(receiver: House) -> None:
    assert receiver.http.get("/-/ready").status_code == 200

    receiver.not_ready = "the store is gone"

    answer = receiver.http.get("/-/ready")
    assert (answer.status_code, answer.text) == (503, "the store is gone\n")


def test_metrics_are_prometheus_text(receiver: House) -> None:
    answer = receiver.http.get("/metrics")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")


@pytest.mark.parametrize("path", ["/", "/docs", "/v1/ingest", "/v1/ingest/a/b", "/..%2f..%2fetc/passwd"])
def test_nothing_else_answers(receiver: House, path: str) -> None:
    assert receiver.http.get(path).status_code == 404


def test_the_server_does_not_say_what_it_is(receiver: House) -> None:
    assert "server" not in receiver.http.get("/-/healthy").headers


@pytest.mark.parametrize(
    "beginning", [b"", b"POST /v1/ingest/tenant HTT", b"GET /-/healthy HTTP/1.1\r\nHost: x\r\nA: "]
)
def test_a_sender_that_does_not_finish_its_headers_is_cut_off(beginning: bytes) -> None:
    with house(Limits(header_timeout=timedelta(milliseconds=100))) as receiver:
        assert receiver.raw(beginning) == b""


def test_a_sender_that_trickles_headers_is_cut_off_all_the_same() -> None:
    with house(Limits(header_timeout=timedelta(milliseconds=100))) as receiver:
        with socket.create_connection(receiver.address, timeout=0.01) as wire:
            sent = trickle(wire, b"GET /-/healthy HTTP/1.1\r\nX: ", most=2_000)

        assert sent < 2_000
        assert receiver.http.get("/-/healthy").status_code == 200


def test_a_connection_kept_alive_is_cut_off_when_the_next_request_trickles() -> None:
    with house(Limits(header_timeout=timedelta(milliseconds=100))) as receiver:
        with socket.create_connection(receiver.address, timeout=0.01) as wire:
            wire.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
            sent = trickle(wire, b"GET /-/healthy HTTP/1.1\r\nX: ", most=2_000)

        assert sent < 2_000


def trickle(wire: socket.socket, beginning: bytes, *, most: int) -> int:
    """Send a byte whenever nothing comes for 10 ms; how many until the other side closed."""
    try:
        wire.sendall(beginning)
        for sent in range(most):
            wire.sendall(b"x")
            try:
                if wire.recv(65536) == b"":
                    return sent
            except TimeoutError:
                continue
    except ConnectionError:
        return sent
    return most


def test_a_request_that_never_ends_is_cut_off() -> None:
    with house(Limits(request_timeout=timedelta(milliseconds=100))) as receiver:
        head = b"POST /v1/ingest/tenant HTTP/1.1\r\nHost: x\r\nAuthorization: " + TOKEN

        assert receiver.raw(head + b"\r\nContent-Length: 100\r\n\r\n[") == b""
        assert receiver.inbox.bodies == []


def test_a_body_may_take_longer_than_headers_may() -> None:
    head = b"POST /v1/ingest/tenant HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nAuthorization: " + TOKEN

    with (
        house(Limits(header_timeout=timedelta(milliseconds=100))) as receiver,
        socket.create_connection(receiver.address, timeout=0.4) as wire,
    ):
        wire.sendall(head + b"\r\n\r\n[")
        with pytest.raises(TimeoutError):  # it is not cut off
            wire.recv(1)
        wire.sendall(b"]")

        assert wire.recv(65536).startswith(b"HTTP/1.1 204 ")


def test_many_silent_sockets_do_not_keep_a_sender_out() -> None:
    with house(Limits(connections=20)) as receiver, ExitStack() as open_sockets:
        for _ in range(100):
            wire = open_sockets.enter_context(socket.create_connection(receiver.address, timeout=10))
            wire.sendall(b"POST /v1/ingest/tenant HTTP/1.1\r\n")

        assert receiver.post(authorization=TOKEN).status_code == 204


def test_a_port_that_is_taken_is_a_clear_error(receiver: House) -> None:
    second = HttpServer(lambda scope, receive, send: None, receiver.address)

    with pytest.raises(ConfigError, match=r"cannot listen on .* in use"):
        second.start()


def test_stopping_lets_a_request_in_work_end() -> None:
    entered, go_on = threading.Event(), threading.Event()
    with house() as receiver:
        keep = receiver.inbox.append

        def slow(source: str, body: bytes, now: datetime) -> str:
            entered.set()
            assert go_on.wait(10)
            return keep(source, body, now)

        receiver.inbox.append = slow  # type: ignore[method-assign]
        answers: list[httpx2.Response] = []
        sender = threading.Thread(target=lambda: answers.append(receiver.post(authorization=TOKEN)))
        sender.start()
        assert entered.wait(10)
        opener = threading.Thread(target=lambda: (until_refused(receiver.address), go_on.set()))
        opener.start()

    opener.join(10)
    sender.join(10)
    assert [answer.status_code for answer in answers] == [204]
    assert receiver.inbox.bodies == [("tenant", RECORD)]


def until_refused(address: Listen) -> None:
    """Knock until nobody opens: the stop has begun."""
    with contextlib.suppress(ConnectionError):
        while True:
            with contextlib.suppress(TimeoutError):
                socket.create_connection(address, timeout=0.1).close()
