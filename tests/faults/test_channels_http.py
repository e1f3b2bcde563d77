"""Slack and webhook channels against real servers on loopback that behave, misbehave and attack."""

import base64
import hashlib
import hmac
import json
import socket
import ssl
import struct
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from itertools import cycle
from random import Random  # noqa: TID251 - seeded

import pytest
import trustme
from msgspec.structs import replace
from structlog.testing import capture_logs

from tocsin.clock import ManualClock
from tocsin.delivery.channels.slack import SlackChannel, SlackConfig
from tocsin.delivery.channels.webhook import WebhookChannel, WebhookConfig
from tocsin.delivery.outside import Outside
from tocsin.delivery.worker import CHANNEL_PAUSE, Worker
from tocsin.errors import PermanentFailure, TemporaryFailure
from tocsin.model.notification import LastNotified, Notification
from tocsin.state.outbox_redis import RedisOutbox

T = datetime(2026, 3, 1, 12, tzinfo=UTC)
CANARY = "T0CANARY/B0CANARY/xoxSECRETxox"
LOOPBACK = {"allow_private_cidrs": ["127.0.0.0/8"]}


class Receiver:
    """A server with a script: each request is answered by the next behaviour, or by Slack's own."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        receiver = self
        self.script: deque[Callable[[BaseHTTPRequestHandler], None]] = deque()
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.done = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                usual = like_slack(body) if self.path.startswith("/services/") else reply(200)
                behave = receiver.script.popleft() if receiver.script else usual
                behave(self)

            def do_CONNECT(self) -> None:
                receiver.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, b""))
                self.send_error(403)

            def log_message(self, *args) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request, client_address) -> None:
                pass  # the client hung up on purpose

            def get_request(self):
                sock, address = super().get_request()
                if tls is None:
                    return sock, address
                sock.settimeout(5)
                return tls.wrap_socket(sock, server_side=True), address

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self.done.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def reply(status: int, body: bytes = b"ok", **headers: str):
    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return behave


def like_slack(body: bytes):
    """Slack's limits: 50 blocks, 150 characters a header, 3,000 a section, 2,000 a field."""
    payload = json.loads(body)
    blocks = payload.get("blocks", [])
    good = "text" in payload and len(blocks) <= 50
    for block in blocks:
        limit = {"header": 150, "section": 3_000}.get(block["type"], 10_000)
        good &= len(block.get("text", {}).get("text", "")) <= limit
    return reply(200, b"ok") if good else reply(400, b"invalid_blocks")


def reset(handler) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def hang_up(handler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


def half(handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\no")
    handler.connection.shutdown(socket.SHUT_RDWR)


def not_http(handler) -> None:
    handler.wfile.write(CANARY.encode() + b"\r\n\r\n")
    handler.connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(T)


def note(body=None, id_="n1") -> Notification:
    return Notification(
        id=id_,
        channel="oncall",
        group_key="g",
        status="firing",
        severity="high",
        summary="12 failed logins",
        alert_ids=("a1",),
        body={"text": "12 failed logins"} if body is None else body,
        created_at=T,
    )


@pytest.fixture
def slack(monkeypatch, clock):
    def make(url: str, outside: Outside | None = None, **config) -> SlackChannel:
        monkeypatch.setenv("SLACK_URL", url)
        parsed = SlackConfig.model_validate(
            {"webhook_url": {"env": "SLACK_URL"}, "timeout": "2s", **LOOPBACK, **config}
        )
        return SlackChannel("oncall", parsed, outside or Outside(clock=clock))

    return make


def on(receiver: Receiver, host: str = "127.0.0.1") -> str:
    return f"http://{host}:{receiver.port}/services/{CANARY}"


def test_slack_gets_the_body_as_it_is(receiver, slack):
    body = {
        "text": "naïve <b> &amp;",
        "blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x"}}],
    }

    assert slack(on(receiver)).send(note(body)) == "200"

    ((path, headers, sent),) = receiver.requests
    assert path == f"/services/{CANARY}"
    assert json.loads(sent) == body
    assert headers["content-type"] == "application/json"
    assert headers["host"] == f"127.0.0.1:{receiver.port}"
    assert headers["user-agent"].startswith("tocsin/")


@pytest.mark.parametrize(
    "blocks",
    [
        [{"type": "divider"}] * 51,
        [{"type": "header", "text": {"text": "x" * 151}}],
        [{"type": "section", "text": {"text": "x" * 3_001}}],
    ],
)
def test_what_slack_cannot_show_is_a_permanent_failure(receiver, slack, blocks):
    with pytest.raises(PermanentFailure, match="answered 400 invalid_blocks"):
        slack(on(receiver)).send(note({"text": "x", "blocks": blocks}))


@pytest.mark.parametrize(
    ("status", "word"),
    [(400, "invalid_payload"), (403, "invalid_token"), (403, "action_prohibited"), (404, "no_service"),
     (404, "channel_not_found"), (410, "channel_is_archived")],
)  # fmt: skip
def test_slacks_refusals_are_permanent_and_carry_its_word(receiver, slack, status, word):
    receiver.script.append(reply(status, word.encode()))

    with pytest.raises(PermanentFailure, match=f"127.0.0.1: answered {status} {word}"):
        slack(on(receiver)).send(note())


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (reply(500), "answered 500"),
        (reply(502), "answered 502"),
        (reply(503), "answered 503"),
        (reply(408), "answered 408"),
        (reply(425), "answered 425"),
        (reset, "the connection broke"),
        (hang_up, "not whole"),
        (half, "not whole"),
        (not_http, "not whole"),
    ],
)
def test_trouble_is_temporary(receiver, slack, behaviour, message):
    receiver.script.append(behaviour)

    with pytest.raises(TemporaryFailure, match=message):
        slack(on(receiver)).send(note())


def test_a_server_that_never_answers_is_left_at_the_timeout(receiver, slack):
    receiver.script.append(lambda _: receiver.done.wait(5))

    with pytest.raises(TemporaryFailure, match="no answer in time"):
        slack(on(receiver), timeout="200ms").send(note())


def test_a_server_that_drips_is_left_at_the_timeout(receiver, slack):
    def drip(handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            if receiver.done.wait(0.05):
                return

    receiver.script.append(drip)

    with pytest.raises(TemporaryFailure, match="no answer in time"):
        slack(on(receiver), timeout="300ms").send(note())


def test_nobody_there_is_temporary(slack):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening
        port = taken.getsockname()[1]
        with pytest.raises(TemporaryFailure, match=r"127\.0\.0\.1: cannot connect"):
            slack(f"http://127.0.0.1:{port}/{CANARY}").send(note())


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("30", timedelta(seconds=30)),
        ("0", timedelta()),
        ("99999999999999999999", timedelta(hours=1)),
        ("Sun, 01 Mar 2026 12:00:45 GMT", timedelta(seconds=45)),
        ("Sun, 01 Mar 2026 12:00:45 -0000", timedelta(seconds=45)),
        ("Sun, 01 Mar 2026 11:00:00 GMT", timedelta()),
        ("Sun, 01 Mar 2099 11:00:00 GMT", timedelta(hours=1)),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_heard(receiver, slack, value, wait, status):
    receiver.script.append(reply(status, b"rate_limited", Retry_After=value))

    with pytest.raises(TemporaryFailure) as caught:
        slack(on(receiver)).send(note())

    assert caught.value.retry_after == wait


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(receiver, slack, status):
    receiver.script.append(reply(status, Location=f"http://127.0.0.1:{receiver.port}/elsewhere"))

    with pytest.raises(PermanentFailure, match="redirect"):
        slack(on(receiver)).send(note())

    assert len(receiver.requests) == 1


def test_a_huge_answer_is_not_read_whole(receiver, slack):
    receiver.script.append(reply(200, b"x" * 8_000_000))

    assert slack(on(receiver)).send(note()) == "200"


def test_a_compressed_answer_is_not_unpacked(receiver, slack):
    receiver.script.append(reply(403, b"\x1f\x8b not gzip", Content_Encoding="gzip"))

    with pytest.raises(PermanentFailure, match=r"answered 403$"):
        slack(on(receiver)).send(note())


OURS = [
    "169.254.169.254", "[::ffff:127.0.0.1]", "[::1]", "0", "0.0.0.0", "2130706433", "0177.0.0.1",
    "0x7f.1", "127.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "[64:ff9b::7f00:1]",
    "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::1]", "[fe80::1]", "[fd00:ec2::254]", "[::]", "224.0.0.1",
    "255.255.255.255", "[2002:7f00:1::]", "[::127.0.0.1]", "[ff02::1]", "192.0.0.8", "198.18.0.1",
    "240.0.0.1", "localhost",
]  # fmt: skip


@pytest.mark.parametrize("host", OURS)
@pytest.mark.parametrize("scheme", ["https", "http"])
def test_no_url_leads_into_our_own_network(receiver, slack, host, scheme):
    channel = slack(f"{scheme}://{host}:{receiver.port}/{CANARY}", allow_private_cidrs=[])

    with pytest.raises((PermanentFailure, TemporaryFailure)) as caught:
        channel.send(note())

    assert receiver.requests == []
    if isinstance(caught.value, TemporaryFailure):
        # Only a resolver that does not know such a spelling; it must not have connected.
        assert "cannot be resolved" in str(caught.value)


def names(**table: list[str]):
    """A resolver that gives a name's next answer each time."""
    left = {name.replace("_", "."): list(answers) for name, answers in table.items()}

    def resolve(host: str, port: int) -> list[str]:
        answers = left[host]
        return (answers.pop(0) if len(answers) > 1 else answers[0]).split()

    return resolve


def test_one_private_address_among_public_ones_is_refused(slack, clock):
    resolve = names(hooks_example=["93.184.216.34 10.0.0.7"])

    with pytest.raises(PermanentFailure, match=r"leads to 10\.0\.0\.7"):
        slack(
            f"https://hooks.example/{CANARY}", Outside(clock=clock, resolve=resolve), allow_private_cidrs=[]
        ).send(note())


def test_a_name_that_flips_its_address_is_asked_once_and_gains_nothing(receiver, slack, clock):
    asked = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    channel = slack(on(receiver, "hooks.example"), Outside(clock=clock, resolve=rebinding))

    assert channel.send(note()) == "200"
    assert asked == ["hooks.example"]
    assert receiver.requests[0][1]["host"] == f"hooks.example:{receiver.port}"
    with pytest.raises(PermanentFailure):
        channel.send(note())
    assert len(receiver.requests) == 1


def test_a_dead_first_address_does_not_stop_the_second(receiver, slack, clock):
    channel = slack(
        on(receiver, "hooks.example"),
        Outside(clock=clock, resolve=names(hooks_example=["127.0.0.2 127.0.0.1"])),
    )

    assert channel.send(note()) == "200"


def test_plain_http_to_a_public_address_is_refused(slack, clock):
    outside = Outside(clock=clock, resolve=names(hooks_example=["93.184.216.34"]))

    with pytest.raises(PermanentFailure, match="use https"):
        slack(f"http://hooks.example/{CANARY}", outside).send(note())


@pytest.mark.parametrize(
    "url", ["", "nonsense", "ftp://x/", "https://", "https://a:99999999/", "file:///etc/passwd"]
)
def test_what_is_no_url_is_a_permanent_failure(monkeypatch, slack, url):
    with pytest.raises((PermanentFailure, TemporaryFailure), match=r"URL|empty"):
        slack(url).send(note())


def test_a_name_that_does_not_resolve_is_temporary(slack, clock):
    def fails(host, port):
        raise socket.gaierror(-3, "temporary failure")

    with pytest.raises(TemporaryFailure, match=r"hooks\.example: the name cannot be resolved"):
        slack("https://hooks.example/", Outside(clock=clock, resolve=fails)).send(note())


@pytest.fixture
def authority(tmp_path):
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return made


@pytest.fixture
def tls_receiver(authority):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("hooks.example").configure_cert(context)
    made = Receiver(context)
    yield made
    made.close()


def secure(receiver: Receiver, host: str = "hooks.example") -> str:
    return f"https://{host}:{receiver.port}/services/{CANARY}"


def test_tls_is_verified_by_the_name_of_the_url(tls_receiver, slack, clock, tmp_path):
    resolve = names(hooks_example=["127.0.0.1"])

    channel = slack(secure(tls_receiver), Outside(clock=clock, resolve=resolve, ca_file=tmp_path / "ca.pem"))

    assert channel.send(note()) == "200"
    assert tls_receiver.requests[0][1]["host"] == f"hooks.example:{tls_receiver.port}"


@pytest.mark.parametrize(("host", "trusted"), [("other.example", True), ("hooks.example", False)])
def test_a_certificate_of_another_name_or_authority_is_refused(tls_receiver, slack, tmp_path, host, trusted):
    resolve = names(hooks_example=["127.0.0.1"], other_example=["127.0.0.1"])
    outside = Outside(resolve=resolve, ca_file=tmp_path / "ca.pem" if trusted else None)

    with pytest.raises(TemporaryFailure, match=f"{host}: its certificate is not trusted"):
        slack(secure(tls_receiver, host), outside).send(note())

    assert tls_receiver.requests == []


def test_tls_to_a_server_that_speaks_none_is_temporary(receiver, slack, clock):
    outside = Outside(clock=clock, resolve=names(hooks_example=["127.0.0.1"]))

    with pytest.raises(TemporaryFailure):
        slack(secure(receiver), outside).send(note())


def test_through_a_proxy_the_proxy_is_asked_for_the_name(receiver, slack, clock, monkeypatch):
    from tocsin.settings import Secret

    monkeypatch.setenv("PROXY", f"http://user:CANARYPASS@127.0.0.1:{receiver.port}")
    outside = Outside(clock=clock, proxy=Secret(env="PROXY"))

    with pytest.raises(TemporaryFailure, match="proxy refused") as caught:
        slack("https://hooks.example/x", outside, allow_private_cidrs=[]).send(note())

    assert receiver.requests[0][0] == "hooks.example:443"
    assert "CANARY" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/x", "https://2130706433/x", "https://localhost/x", "http://hooks.example/x"]
)
def test_a_proxy_is_not_asked_for_what_is_plainly_ours(receiver, slack, clock, monkeypatch, url):
    from tocsin.settings import Secret

    monkeypatch.setenv("PROXY", f"http://127.0.0.1:{receiver.port}")

    with pytest.raises(PermanentFailure):
        slack(url, Outside(clock=clock, proxy=Secret(env="PROXY")), allow_private_cidrs=[]).send(note())

    assert receiver.requests == []


@pytest.mark.parametrize(
    "behaviour",
    [reply(500, CANARY.encode()), reply(403, CANARY.encode()), reply(302, Location=CANARY), reply(429), reset,
     hang_up, half, not_http],
)  # fmt: skip
def test_no_error_or_log_repeats_the_url_or_the_answer(receiver, slack, behaviour):
    receiver.script.append(behaviour)
    channel = slack(on(receiver))

    with capture_logs() as logs, pytest.raises((TemporaryFailure, PermanentFailure)) as caught:
        channel.send(note())

    told = (
        "".join(traceback.format_exception(caught.value)) + repr(logs) + repr(channel) + repr(vars(channel))
    )
    assert CANARY not in told


@pytest.mark.parametrize("text", [None, "", "words"])
def test_a_ca_file_that_is_none_is_temporary_and_named(slack, tmp_path, text):
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)

    with pytest.raises(TemporaryFailure, match=r"ca\.pem: no certificates"):
        slack("https://hooks.example/", Outside(ca_file=path)).send(note())


def test_a_secret_that_is_gone_is_temporary(monkeypatch, slack):
    channel = slack("https://hooks.example/")
    monkeypatch.delenv("SLACK_URL")

    with pytest.raises(TemporaryFailure, match="SLACK_URL is not set"):
        channel.send(note())


def webhook(receiver: Receiver, clock, **config) -> WebhookChannel:
    parsed = WebhookConfig.model_validate(
        {
            "type": "webhook",
            "url": f"http://127.0.0.1:{receiver.port}/hook",
            "timeout": "2s",
            **LOOPBACK,
            **config,
        }
    )
    return WebhookChannel("soc", parsed, Outside(clock=clock))


KEY = bytes(range(24))


@pytest.mark.parametrize(
    ("secret", "key"), [("whsec_" + base64.b64encode(KEY).decode(), KEY), ("plain words", b"plain words")]
)
def test_a_webhook_is_signed_as_the_standard_says(receiver, clock, monkeypatch, secret, key):
    monkeypatch.setenv("WEBHOOK_SECRET", secret)

    assert (
        webhook(receiver, clock, secret={"env": "WEBHOOK_SECRET"}).send(note({"version": 1}, "n7")) == "200"
    )

    ((path, headers, body),) = receiver.requests
    stamp = str(int(T.timestamp()))
    expected = hmac.new(key, b"n7." + stamp.encode() + b"." + body, hashlib.sha256).digest()
    assert path == "/hook"
    assert json.loads(body) == {"version": 1}
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("n7", stamp)
    assert headers["webhook-signature"] == "v1," + base64.b64encode(expected).decode()


def test_the_signature_is_that_of_the_standards_own_example():
    from tocsin.delivery.channels.webhook import signature, signing_key

    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    content = b'{"test": 2432232314}'

    made = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, content)

    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_webhook_without_a_secret_is_not_signed(receiver, clock):
    webhook(receiver, clock).send(note({}))

    assert "webhook-signature" not in receiver.requests[0][1]


def test_a_retried_webhook_keeps_its_id(receiver, clock):
    receiver.script.append(reply(503))
    channel = webhook(receiver, clock)

    with pytest.raises(TemporaryFailure):
        channel.send(note({}))
    clock.advance(timedelta(minutes=1))
    channel.send(note({}))

    first, second = (headers for _, headers, _ in receiver.requests)
    assert first["webhook-id"] == second["webhook-id"]
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 60


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_taken(receiver, clock, status):
    receiver.script.append(reply(status, b"" if status == 204 else b"thanks"))

    assert webhook(receiver, clock).send(note({})) == str(status)


@pytest.mark.parametrize(
    ("status", "failure"),
    [(400, PermanentFailure), (401, PermanentFailure), (404, PermanentFailure), (410, PermanentFailure),
     (422, PermanentFailure), (408, TemporaryFailure), (425, TemporaryFailure), (429, TemporaryFailure),
     (500, TemporaryFailure), (503, TemporaryFailure), (302, PermanentFailure)],
)  # fmt: skip
def test_what_a_webhooks_answer_means(receiver, clock, status, failure):
    receiver.script.append(reply(status))

    with pytest.raises(failure, match=str(status)):
        webhook(receiver, clock).send(note({}))


def test_half_a_surrogate_pair_is_escaped(receiver, clock):
    webhook(receiver, clock).send(note({"name": "x\ud800"}))

    assert b"\\ud800" in receiver.requests[0][2]


def test_a_broken_signing_secret_is_not_repeated(receiver, clock, monkeypatch):
    monkeypatch.setenv("WEBHOOK_SECRET", "whsec_!!CANARY!!")

    with pytest.raises(TemporaryFailure, match="not base64") as caught:
        webhook(receiver, clock, secret={"env": "WEBHOOK_SECRET"}).send(note({}))

    assert "CANARY" not in "".join(traceback.format_exception(caught.value))
    assert receiver.requests == []


def test_the_config_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="extra"):
        WebhookConfig.model_validate({"url": "https://x.example", "uri": 1})
    with pytest.raises(ValueError, match="must begin with"):
        WebhookConfig.model_validate({"url": "ftp://x.example"})
    with pytest.raises(ValueError, match="not written here"):
        SlackConfig.model_validate({"webhook_url": f"https://hooks.slack.com/{CANARY}"})
    assert WebhookConfig.model_validate({"url": "https://x.example", **LOOPBACK}).allow_private_cidrs == (
        ip_network("127.0.0.0/8"),
    )


def test_six_hours_of_every_trouble_lose_nothing_and_repeat_nothing(receiver, slack, clock, store):
    """F14: a real outbox, a real receiver, and a clock that is moved."""
    outbox, back_at, wait = RedisOutbox(store), T + timedelta(hours=6), timedelta(seconds=600)
    worker = Worker(outbox, slack(on(receiver)), clock, Random(5))
    for number in range(60):
        made = note({"text": f"n{number}"}, f"n{number}")
        made = replace(made, group_key=made.id, severity="critical" if number == 59 else "low")
        outbox.put(made, LastNotified(at=T, sequence=1))
    held = reply(429, b"rate_limited", Retry_After="600")
    troubles = cycle([reply(500), held, reset, half, not_http, reply(503), hang_up])
    not_before, begun, due = T, [], T

    while due is not None:
        clock.set(max(clock.now(), due))
        if clock.now() < back_at and not receiver.script:
            receiver.script.append(next(troubles))
        elif clock.now() >= back_at:
            receiver.script.clear()
        pending = receiver.script[0] if receiver.script else None
        due = worker.run_once(clock.now())
        if len(receiver.requests) > len(begun):
            assert clock.now() >= not_before, "a request inside a Retry-After"
            begun.append(clock.now())
            not_before = clock.now() + (wait if pending is held else timedelta(seconds=1))

    bodies = [json.loads(body)["text"] for _, _, body in receiver.requests]
    assert sum(moment < back_at for moment in begun) > 100
    assert sorted(bodies[-60:]) == sorted(f"n{number}" for number in range(60))
    assert "n59" in bodies[-60:-58]
    assert begun[-1] - back_at <= CHANNEL_PAUSE.longest + wait + timedelta(seconds=62)
    assert {delivery.status for delivery in outbox.find()} == {"sent"}
