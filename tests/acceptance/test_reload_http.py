"""POST /-/reload over real HTTP, and `tocsin reload`, which calls it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from prometheus_client import CollectorRegistry
from starlette.requests import Request

from tocsin.api import HttpServer, make_app
from tocsin.api.reload import Reloading
from tocsin.cli.main import main
from tocsin.clock import ManualClock
from tocsin.errors import RuleError, StoreUnavailable
from tocsin.reload import Changes, Refused
from tocsin.settings import Listen

TAKEN = Changes(
    rules=3,
    added=("a",),
    removed=("b", "b2"),
    changed=("c",),
    warming=("a",),
    not_running={"d": "look-around"},
    warnings=(RuleError("rules/c.yml", 3, 1, "odd", severity="warning"),),
)
REFUSED = Refused((RuleError("rules/a.yml", 7, 8, "level: loud"), RuleError("o.yml", 1, 1, "\x1b[2J?")))
AWAY = StoreUnavailable("redis://user:secret@10.0.0.1:6379/0: cannot be reached")


class Nowhere:
    """An inbox that nobody posts to."""

    def append(self, source: str, body: bytes, now: datetime) -> str:
        raise StoreUnavailable("no inbox here")


class House:
    """A running web application whose next reload ends as it is told to."""

    def __init__(self) -> None:
        self.answer: Changes | Refused | Exception = TAKEN
        self.note: str | None = None
        self.asked = 0

    def reload(self) -> Changes | Refused:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def address(house: House) -> Iterator[Listen]:
    app = make_app(
        inbox=Nowhere(),
        tokens={"tenant": [b"x" * 40]},
        clock=ManualClock(datetime(2026, 1, 1, tzinfo=UTC)),
        readiness=lambda: None,
        registry=CollectorRegistry(),
        reload=house.reload,
        note=lambda: house.note,
    )
    server = HttpServer(app, Listen("127.0.0.1", 0))
    yield server.start()
    server.stop()


def ask(address: Listen, method: str = "POST", path: str = "/-/reload", **headers: str) -> httpx2.Response:
    with httpx2.Client(trust_env=False) as client:
        return client.request(method, f"http://{address}{path}", headers=headers)


def test_what_changed_is_answered_as_json(house: House, address: Listen) -> None:
    response = ask(address)

    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.json() == {
        "status": "reloaded",
        "rules": 3,
        "added": ["a"],
        "removed": ["b", "b2"],
        "changed": ["c"],
        "warming": ["a"],
        "not_running": {"d": "look-around"},
        "warnings": [{"file": "rules/c.yml", "line": 3, "column": 1, "message": "odd"}],
    }


def test_every_mistake_of_a_refused_set_is_answered(house: House, address: Listen) -> None:
    house.answer = REFUSED

    response = ask(address)

    assert response.status_code == 422
    assert response.json() == {
        "status": "refused",
        "errors": [
            {"file": "rules/a.yml", "line": 7, "column": 8, "message": "level: loud"},
            {"file": "o.yml", "line": 1, "column": 1, "message": "\x1b[2J?"},
        ],
    }


def test_without_the_store_it_is_to_be_asked_again_and_no_secret_is_told(
    house: House, address: Listen
) -> None:
    house.answer = AWAY

    response = ask(address)

    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert response.json()["status"] == "failed"
    assert "secret" not in response.text


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_looking_at_it_changes_nothing(house: House, address: Listen, method: str) -> None:
    assert ask(address, method).status_code == 405
    assert house.asked == 0


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-origin"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("Forwarded", "for=127.0.0.1"),
        ("X-Real-IP", "127.0.0.1"),
        ("Via", "1.1 proxy"),
    ],
)
def test_neither_a_web_page_nor_a_proxy_asks_for_it(
    house: House, address: Listen, header: str, value: str
) -> None:
    response = ask(address, **{header: value})

    assert response.status_code == 403
    assert "tocsin reload" in response.json()["error"]
    assert house.asked == 0


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        ("127.0.0.1", 200),
        ("127.8.8.8", 200),
        ("::1", 200),
        ("::ffff:127.0.0.1", 200),
        ("203.0.113.9", 403),
        ("10.0.0.7", 403),
        ("::ffff:10.0.0.7", 403),
        ("fe80::1", 403),
        ("", 403),
        ("localhost", 403),
        (None, 403),
    ],
)
@pytest.mark.anyio
async def test_only_this_machine_asks_for_it(house: House, peer: str | None, status: int) -> None:
    client = None if peer is None else (peer, 50_000)
    request = Request(
        {"type": "http", "method": "POST", "path": "/-/reload", "headers": [], "client": client}
    )

    response = await Reloading(house.reload)(request)

    assert response.status_code == status


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_ready_says_that_the_rules_on_disk_are_refused_and_stays_ready(house: House, address: Listen) -> None:
    assert ask(address, "GET", "/-/ready").text == "ready\n"

    house.note = "the rules on disk are refused"
    response = ask(address, "GET", "/-/ready")

    assert (response.status_code, response.text) == (200, "ready\nthe rules on disk are refused\n")


@pytest.fixture
def command(
    address: Listen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Call `tocsin reload` with settings that name the house's address, or another."""

    def call(listen: str = str(address), more: str = "") -> tuple[int, str, str]:
        (tmp_path / "tocsin.yml").write_text(f"listen: '{listen}'\n{more}")
        monkeypatch.setattr(sys, "argv", ["tocsin", "reload", "--config", str(tmp_path / "tocsin.yml")])
        with pytest.raises(SystemExit) as ended:
            main()
        said: Any = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call


def test_the_command_says_what_changed(command: Callable[..., tuple[int, str, str]]) -> None:
    code, out, err = command()

    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "added: a",
        "removed: b, b2",
        "changed: c",
        "warming: a",
        "not running: d: look-around",
        "rules/c.yml:3:1: warning: odd",
        "3 rules at work",
    ]


def test_the_command_says_when_nothing_changed(
    house: House, command: Callable[..., tuple[int, str, str]]
) -> None:
    house.answer = Changes(rules=2)

    assert command() == (0, "2 rules at work, the same as before\n", "")


def test_the_command_finds_a_service_that_listens_everywhere(
    address: Listen, command: Callable[..., tuple[int, str, str]]
) -> None:
    assert command(f"0.0.0.0:{address.port}")[0] == 0


def test_the_command_tells_every_mistake_and_exits_1(
    house: House, command: Callable[..., tuple[int, str, str]]
) -> None:
    house.answer = REFUSED

    code, out, err = command()

    assert (code, out) == (1, "")
    assert err.splitlines() == [
        "rules/a.yml:7:8: level: loud",
        "o.yml:1:1: \\x1b[2J?",  # a rule's text cannot drive the terminal
        "refused, 2 mistakes: the rules from before are still at work",
    ]


def test_the_command_asks_and_so_the_service_logs_it_where_a_file_of_the_settings_is_gone(
    house: House, command: Callable[..., tuple[int, str, str]]
) -> None:
    house.answer = REFUSED

    code, _, err = command(more="overlay: gone.yml\n")

    assert (code, house.asked) == (1, 1)
    assert 'tocsin.yml:2: overlay: "gone.yml": no such file or folder' in err.splitlines()[0]
    assert err.splitlines()[-1] == "refused, 2 mistakes: the rules from before are still at work"


def test_the_command_asks_nobody_where_the_address_is_wrong(
    house: House, command: Callable[..., tuple[int, str, str]]
) -> None:
    code, _, err = command("nowhere:x")

    assert (code, house.asked) == (1, 0)
    assert "listen" in err


def test_the_command_says_where_it_asked_when_nobody_answers(
    command: Callable[..., tuple[int, str, str]],
) -> None:
    code, _, err = command("127.0.0.1:9")

    assert code == 1
    assert err.startswith("tocsin: http://127.0.0.1:9/-/reload: no answer (")
    assert "is `tocsin run` up" in err


def test_the_command_tells_why_the_service_could_not(
    house: House, command: Callable[..., tuple[int, str, str]]
) -> None:
    house.answer = AWAY

    code, _, err = command()

    assert code == 1
    assert "cannot be reached" in err
    assert json.dumps(err)  # one line of text
    assert err.count("\n") == 1
