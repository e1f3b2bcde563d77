from __future__ import annotations

import hmac
import inspect
from pathlib import Path

import pytest
import structlog

from tocsin.api.doors import Doors, refuse_open_receiver, tokens_of
from tocsin.errors import ConfigError
from tocsin.settings import Listen, Secret, SourceSettings

TOKEN = b"Bearer 0123456789abcdef0123456789abcdef"
LOOPBACK = Listen("127.0.0.1", 8080)


def source(*tokens: Secret) -> SourceSettings:
    return SourceSettings(type="auth0_stream", tokens=list(tokens))


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, bytes]]:
    """What was compared, with the real comparison going on underneath."""
    seen: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def spy(left: bytes, right: bytes) -> bool:
        seen.append((left, right))
        return real(left, right)

    monkeypatch.setattr("tocsin.api.doors.hmac.compare_digest", spy)
    return seen


@pytest.mark.parametrize("presented", [TOKEN, b"", b"x", TOKEN + b"x", b"\xff" * 100, b"x" * 1_000_000])
@pytest.mark.parametrize("name", ["tenant", "nobody"])
def test_every_answer_costs_the_same_comparisons(
    compared: list[tuple[bytes, bytes]], presented: bytes, name: str
) -> None:
    doors = Doors({"tenant": [TOKEN, b"another token of the same source"]})

    doors.admits(name, [(b"authorization", presented)])

    assert len(compared) == 2  # the first match never ends it
    assert {(type(left), len(left), type(right), len(right)) for left, right in compared} == {
        (bytes, 32, bytes, 32)
    }


def test_the_comparison_is_pythons_constant_time_one() -> None:
    assert "hmac.compare_digest" in inspect.getsource(Doors.admits)


def test_an_unknown_source_is_not_opened_by_what_the_decoy_is_made_of() -> None:
    assert not Doors({"tenant": [TOKEN]}).admits("nobody", [(b"authorization", b"")])
    assert not Doors({}).admits("nobody", [])


def test_an_empty_token_would_admit_everybody_so_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="empty"):
        Doors({"tenant": [b""]})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_a_source_without_tokens_is_fine_on_this_machine(host: str) -> None:
    refuse_open_receiver(Listen(host, 8080), {"tenant": source()})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", "localhost.example.com"])
def test_a_source_without_tokens_is_refused_elsewhere(host: str) -> None:
    with pytest.raises(ConfigError, match=r"anybody could post to tenant; give sources\.tenant tokens"):
        refuse_open_receiver(Listen(host, 8080), {"tenant": source(), "ok": source(Secret(env="T"))})


def test_sources_with_tokens_may_listen_anywhere() -> None:
    refuse_open_receiver(Listen("0.0.0.0", 8080), {"tenant": source(Secret(env="T"))})


def test_tokens_are_the_bytes_of_the_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("T_ONE", "Bearer ñ" + "x" * 40)
    file = tmp_path / "token"
    file.write_bytes(TOKEN + b"\n")
    file.chmod(0o600)

    tokens = tokens_of({"tenant": source(Secret(env="T_ONE"), Secret(file=file)), "open": source()})

    assert tokens == {"tenant": [("Bearer ñ" + "x" * 40).encode(), TOKEN], "open": []}


def test_all_missing_tokens_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("T_GONE", raising=False)

    with pytest.raises(ConfigError) as caught:
        tokens_of({"a": source(Secret(env="T_GONE")), "b": source(Secret(file=Path("/nowhere/token")))})

    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "sources.a.tokens",
        "sources.b.tokens",
    ]


def test_a_token_that_can_be_guessed_is_warned_of_but_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T_SHORT", "hunter2")

    with structlog.testing.capture_logs() as logs:
        tokens_of({"tenant": source(Secret(env="T_SHORT"))})

    assert [entry["event"] for entry in logs] == ["receiver.short_secret"]
    assert "hunter2" not in repr(logs)
