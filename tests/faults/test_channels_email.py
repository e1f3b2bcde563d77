"""The e-mail channel against a real SMTP server on loopback that accepts, refuses, stalls and attacks."""

import asyncio
import contextlib
import email
import email.policy
import ssl
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult
from structlog.testing import capture_logs

from tocsin.delivery.channels.email import EmailChannel, EmailConfig
from tocsin.errors import PermanentFailure, TemporaryFailure
from tocsin.model.notification import Notification

T = datetime(2026, 3, 1, 12, tzinfo=UTC)
CANARY = "passCANARYword"


class Mailbox:
    """An SMTP server in a thread. `codes` scripts an answer per command, `per_recipient` per RCPT."""

    def __init__(self, tls: ssl.SSLContext | None = None, *, implicit: bool = False, **options) -> None:
        self.messages: list[tuple[str, list[str], EmailMessage]] = []
        self.codes: dict[str, str] = {}
        self.per_recipient: dict[str, str] = {}
        self.logins: list[tuple[bytes, bytes]] = []
        self.password = CANARY.encode()
        self._made: list[SMTP] = []
        self._loop = asyncio.new_event_loop()

        def make() -> SMTP:
            server = SMTP(
                self, hostname="mx.example", loop=self._loop, tls_context=None if implicit else tls,
                authenticator=self._authenticate, auth_require_tls=False, enable_SMTPUTF8=False, **options,
            )  # fmt: skip
            self._made.append(server)
            return server

        self._server = self._loop.run_until_complete(
            self._loop.create_server(make, "127.0.0.1", 0, ssl=tls if implicit else None)
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        for server in self._made:
            if server.transport is not None:
                # Before 3.11.3 a TLS transport that lost its connection cannot be aborted any more.
                with contextlib.suppress(AttributeError):
                    server.transport.abort()
        await asyncio.sleep(0)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _authenticate(self, server, session, envelope, mechanism, data) -> AuthResult:
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == self.password, handled=False)

    async def handle_EHLO(self, server, session, envelope, hostname, responses):  # noqa: N802
        session.host_name = hostname
        if "EHLO" in self.codes:
            return [self.codes["EHLO"]]
        return responses

    async def handle_MAIL(self, server, session, envelope, address, options):  # noqa: N802
        if "MAIL" in self.codes:
            return self.codes["MAIL"]
        envelope.mail_from = address
        return "250 ok"

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if address in self.per_recipient:
            return self.per_recipient[address]
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        if "DATA" in self.codes:
            return self.codes["DATA"]
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.messages.append((envelope.mail_from, list(envelope.rcpt_tos), message))
        return "250 taken"

    async def handle_QUIT(self, server, session, envelope):  # noqa: N802
        if self.codes.get("QUIT") == "drop":
            server.transport.abort()
        return self.codes.get("QUIT", "221 bye")


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    made = Mailbox()
    yield made
    made.close()


@pytest.fixture
def authority(tmp_path):
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return made


def server_context(authority, name="127.0.0.1") -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture(params=["starttls", "tls"])
def secure(request, authority) -> Iterator[tuple[Mailbox, str]]:
    made = Mailbox(server_context(authority), implicit=request.param == "tls")
    yield made, request.param
    made.close()


def channel(mailbox: Mailbox, **config) -> EmailChannel:
    fields = {
        "host": "127.0.0.1", "port": mailbox.port, "tls": "none", "timeout": "2s",
        "sender": "Tocsin <tocsin@example.com>", "to": ["soc@example.com"],
    }  # fmt: skip
    return EmailChannel("mail", EmailConfig.model_validate({**fields, **config}))


BODY = {"subject": "12 failed logins", "text": "plain é", "html": "<p>rich</p>"}


def note(body=None, **fields) -> Notification:
    given = {
        "id": "n1", "channel": "mail", "group_key": "g", "status": "firing", "severity": "high",
        "summary": "12 failed logins", "alert_ids": ("a1",), "created_at": T,
        "body": BODY if body is None else body,
    }  # fmt: skip
    return Notification(**{**given, **fields})


def test_a_message_arrives_as_text_and_html(mailbox):
    assert channel(mailbox).send(note()) == "1 of 1 recipients took it"

    ((sender, to, message),) = mailbox.messages
    assert (sender, to) == ("tocsin@example.com", ["soc@example.com"])
    assert message.get_content_type() == "multipart/alternative"
    text, html = message.iter_parts()
    assert (text.get_content_type(), text.get_content().strip()) == ("text/plain", "plain é")
    assert (html.get_content_type(), html.get_content().strip()) == ("text/html", "<p>rich</p>")
    assert message["Subject"] == "12 failed logins"
    assert message["From"] == "Tocsin <tocsin@example.com>"
    assert message["To"] == "soc@example.com"
    assert message["Date"].datetime == T
    assert message["Auto-Submitted"] == "auto-generated"


def test_a_retry_is_the_same_message(mailbox):
    mailbox.codes["DATA"] = "451 later"
    made = channel(mailbox)
    with pytest.raises(TemporaryFailure):
        made.send(note())
    del mailbox.codes["DATA"]

    made.send(note())
    made.send(note(id="n2"))

    first, second = (message for _, _, message in mailbox.messages)
    assert first["Message-ID"] == "<n1@example.com>"
    assert second["Message-ID"] == "<n2@example.com>"
    assert first["References"] == second["References"]


# What an attacker can write, in every place that becomes part of a message.
EVIL = [
    "a\r\nBcc: evil@evil.example",
    "a\nBcc: evil@evil.example",
    "a\rBcc: evil@evil.example",
    "a\r\n\r\n<script>",
    "a\r\n.\r\nMAIL FROM:<evil@evil.example>",
    "a\x00b\x0bc\x0cd\x1b[2Je",
    "a\x85Bcc: evil@evil.example",
    "a\u2028Bcc: evil@evil.example",
    "=?utf-8?q?a=0D=0ABcc:_evil@evil.example?=",
    "=?utf-8?b?YQ0KQmNjOiBldmlsQGV2aWwuZXhhbXBsZQ==?=",
    "x" * 5_000,
    "é" * 3_000,
    "a " * 2_000,
    "\ud800 half a pair",
    "\u202egnp.exe",
    "",
    " ",
    ".",
    "\r\n.\r\n",
]


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize(
    "place", ["subject", "text", "html", "summary", "id", "group_key", "severity", "status"]
)
def test_no_text_makes_another_header_or_another_message(mailbox, place, evil):
    body = {"subject": "s", "text": "t", "html": "<p>h</p>"}
    fields = {}
    if place in body:
        body[place] = evil
    else:
        fields[place] = evil

    channel(mailbox).send(note(body, **fields))

    ((sender, to, message),) = mailbox.messages
    assert (sender, to) == ("tocsin@example.com", ["soc@example.com"])
    names = sorted(name.lower() for name in set(message) - {"Content-Transfer-Encoding"})
    assert names == [
        "auto-submitted", "content-type", "date", "from", "message-id", "mime-version", "references",
        "subject", "to", "x-tocsin-severity", "x-tocsin-status",
    ]  # fmt: skip
    assert len(message.keys()) - len(names) <= 1  # no header twice
    assert message["To"] == "soc@example.com"
    for value in message.values():
        assert not set(value) & set("\r\n\x00\x85\u2028\u202e")
    assert next(part.get_content_type() for part in message.walk() if not part.is_multipart()) == "text/plain"


def test_text_with_lines_of_any_length_and_dots_arrives_whole(mailbox):
    text = "\n".join(["..", ".", "x" * 3_000, "é" * 1_500, "From here", "end"])

    channel(mailbox).send(note({"subject": "s", "text": text, "html": ""}))

    ((_, _, message),) = mailbox.messages
    assert message.get_content().replace("\r\n", "\n").strip("\n") == text


@pytest.mark.parametrize(
    ("command", "answer", "failure"),
    [
        ("MAIL", "451 try later", TemporaryFailure),
        ("MAIL", "550 not you", PermanentFailure),
        ("DATA", "452 full", TemporaryFailure),
        ("DATA", "554 spam", PermanentFailure),
    ],
)
def test_4xx_is_temporary_and_5xx_permanent(mailbox, command, answer, failure):
    mailbox.codes[command] = answer

    with pytest.raises(failure, match=answer[:3]):
        channel(mailbox).send(note())


@pytest.mark.parametrize("code", ["550 unknown", "551 moved", "553 no"])
def test_when_every_recipient_is_refused_for_good_it_is_dead(mailbox, code):
    mailbox.per_recipient = {"a@example.com": code, "b@example.com": "550 no"}

    with pytest.raises(
        PermanentFailure, match=r"refused every recipient: a@example\.com \(55\d\), b@example\.com"
    ):
        channel(mailbox, to=["a@example.com", "b@example.com"]).send(note())

    assert mailbox.messages == []


def test_a_recipient_refused_for_good_is_told_and_the_others_get_it(mailbox):
    mailbox.per_recipient = {"gone@example.com": "550 unknown"}

    with capture_logs() as logs:
        said = channel(mailbox, to=["soc@example.com", "gone@example.com"]).send(note())

    assert said == "1 of 2 recipients took it; refused: gone@example.com"
    assert [log["event"] for log in logs] == ["email.recipient_refused"]
    assert [to for _, to, _ in mailbox.messages] == [["soc@example.com"]]


def test_a_recipient_refused_for_now_gets_it_later_and_nobody_gets_it_twice(mailbox):
    mailbox.per_recipient = {"grey@example.com": "450 greylisted", "gone@example.com": "550 unknown"}
    made = channel(mailbox, to=["soc@example.com", "grey@example.com", "gone@example.com"])

    with pytest.raises(TemporaryFailure, match=r"refused for now: grey@example\.com \(450\)"):
        made.send(note())
    mailbox.per_recipient = {}
    assert made.send(note()) == "2 of 3 recipients took it; refused: gone@example.com"

    assert [to for _, to, _ in mailbox.messages] == [["soc@example.com"], ["grey@example.com"]]


@pytest.mark.parametrize("goodbye", ["drop", "421 going down", "500 what?"])
def test_what_was_taken_stays_taken_whatever_the_goodbye(mailbox, goodbye):
    mailbox.codes["QUIT"] = goodbye

    assert channel(mailbox).send(note()) == "1 of 1 recipients took it"


def test_nobody_there_is_temporary(mailbox):
    made = channel(mailbox)
    mailbox_port, mailbox.port = mailbox.port, 1
    assert mailbox_port

    with pytest.raises(TemporaryFailure, match=r"127\.0\.0\.1: the connection failed"):
        channel(mailbox).send(note())
    assert made.send(note())


def test_a_server_that_says_nothing_is_left_at_the_timeout():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        fields = {"host": "127.0.0.1", "port": silent.getsockname()[1], "tls": "none", "timeout": "150ms"}
        config = EmailConfig(**fields, sender="a@example.com", to=("b@example.com",))
        with pytest.raises(TemporaryFailure, match="no answer in time"):
            EmailChannel("mail", config).send(note())


def test_tls_is_used_and_verified(secure, tmp_path, monkeypatch):
    mailbox, tls = secure
    monkeypatch.setenv("MAIL_PASSWORD", CANARY)

    made = channel(
        mailbox, tls=tls, ca_file=str(tmp_path / "ca.pem"), username="u", password={"env": "MAIL_PASSWORD"}
    )

    assert made.send(note())
    assert mailbox.logins == [(b"u", CANARY.encode())]
    assert len(mailbox.messages) == 1


@pytest.mark.parametrize("why", ["authority", "name"])
def test_an_untrusted_server_gets_neither_password_nor_message(secure, tmp_path, monkeypatch, why):
    mailbox, tls = secure
    monkeypatch.setenv("MAIL_PASSWORD", CANARY)
    trust = {"ca_file": str(tmp_path / "ca.pem")} if why == "name" else {}
    host = "localhost" if why == "name" else "127.0.0.1"

    with pytest.raises(TemporaryFailure, match="certificate verify failed") as caught:
        channel(mailbox, host=host, tls=tls, username="u", password={"env": "MAIL_PASSWORD"}, **trust).send(
            note()
        )

    assert mailbox.logins == []
    assert mailbox.messages == []
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_a_server_without_starttls_gets_nothing(mailbox):
    with pytest.raises(PermanentFailure, match="does not offer"):
        channel(mailbox, tls="starttls").send(note())

    assert mailbox.messages == []


def test_a_wrong_password_is_permanent_and_not_repeated(secure, tmp_path, monkeypatch):
    mailbox, tls = secure
    mailbox.password = b"another"
    monkeypatch.setenv("MAIL_PASSWORD", CANARY)

    with capture_logs() as logs, pytest.raises(PermanentFailure, match="logging in with 535") as caught:
        channel(
            mailbox,
            tls=tls,
            ca_file=str(tmp_path / "ca.pem"),
            username="u",
            password={"env": "MAIL_PASSWORD"},
        ).send(note())

    assert CANARY not in "".join(traceback.format_exception(caught.value)) + repr(logs)


@pytest.mark.parametrize(
    "address",
    [
        "nobody",
        "a@",
        "@b",
        "a@b\r\nBcc: c@d",
        "a b@c",
        "<a@b",
        "a@b>",
        "a@b, c@d",
        "é@example.com",
        "",
        "A <a@b> x",
        "a\x00@b",
    ],
)
@pytest.mark.parametrize("place", ["sender", "to"])
def test_an_address_that_is_none_is_refused_by_the_config(address, place):
    fields = {"host": "mx.example", "sender": "a@example.com", "to": ["b@example.com"]}

    with pytest.raises(ValueError, match=r"address|domain"):
        EmailConfig.model_validate({**fields, place: [address] if place == "to" else address})


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"username": "u"}, "go together"),
        ({"username": "u", "password": {"env": "P"}, "tls": "none"}, "without encryption"),
        ({"to": []}, "at least 1"),
        ({"subject": "x"}, "extra|Extra"),
        ({"username": "u", "password": "words"}, "not written here"),
    ],
)
def test_the_config_refuses_what_would_not_work(extra, message):
    fields = {"host": "mx.example", "sender": "a@example.com", "to": ["b@example.com"]}

    with pytest.raises(ValueError, match=message):
        EmailConfig.model_validate({**fields, **extra})
