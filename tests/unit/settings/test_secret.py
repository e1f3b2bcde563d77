from __future__ import annotations

import copy
from pathlib import Path

import pytest
import structlog
from pydantic import BaseModel, ValidationError

from tocsin.errors import ConfigError
from tocsin.settings import Secret, SecretUrl, relative_to

CANARY = "canary-5b7e"


class Holder(BaseModel):
    password: Secret


def secret_file(folder: Path, content: bytes = CANARY.encode(), mode: int = 0o600) -> Path:
    path = folder / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_it_is_read_from_the_environment_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Holder.model_validate({"password": {"env": "T_SECRET"}}).password
    monkeypatch.setenv("T_SECRET", CANARY)

    assert secret.reveal() == CANARY


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_files_line_end_is_not_part_of_it(tmp_path: Path, end: bytes) -> None:
    assert Secret(file=secret_file(tmp_path, CANARY.encode() + end)).reveal() == CANARY


def test_a_file_is_relative_to_the_config_file(tmp_path: Path) -> None:
    secret_file(tmp_path)

    with relative_to(tmp_path):
        secret = Holder.model_validate({"password": {"file": "secret"}}).password

    assert secret.reveal() == CANARY


def test_a_rotated_file_is_read_anew(tmp_path: Path) -> None:
    secret = Secret(file=secret_file(tmp_path))
    assert secret.reveal() == CANARY

    secret_file(tmp_path, b"the next")

    assert secret.reveal() == "the next"


@pytest.mark.parametrize(
    "written",
    [
        CANARY,
        42,
        None,
        True,
        [CANARY],
        {},
        {"value": CANARY},
        {"env": "A", "file": "B"},
        {"env": ""},
        {"env": 1},
    ],
)
def test_anything_else_is_refused_without_being_repeated(written: object) -> None:
    with pytest.raises(ValidationError) as caught:
        Holder.model_validate({"password": written})

    message = caught.value.errors()[0]["msg"]
    assert "{env: NAME} or {file: PATH}" in message
    assert CANARY not in message


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda tmp: Secret(env="T_NOT_SET"), "environment variable T_NOT_SET is not set"),
        (lambda tmp: Secret(env="T_EMPTY"), "the secret in environment variable T_EMPTY is empty"),
        (lambda tmp: Secret(file=tmp / "none"), "none cannot be read: No such file"),
        (lambda tmp: Secret(file=tmp), "cannot be read: Is a directory"),
        (lambda tmp: Secret(file=secret_file(tmp, b"\n")), "is empty"),
        (lambda tmp: Secret(file=secret_file(tmp, b"\xff\xfe")), "is not UTF-8 text"),
        (lambda tmp: Secret(file=secret_file(tmp, b"x" * 70_000)), "is larger than 64 KiB"),
    ],
)
def test_a_missing_one_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: object, message: str
) -> None:
    monkeypatch.delenv("T_NOT_SET", raising=False)
    monkeypatch.setenv("T_EMPTY", "")

    with pytest.raises(ConfigError, match=message):
        make(tmp_path).reveal()  # type: ignore[operator]


def test_it_never_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T_SECRET", CANARY)
    holder = Holder.model_validate({"password": {"env": "T_SECRET"}})
    holder.password.reveal()

    shown = [
        repr(holder),
        str(holder),
        f"{holder.password}",
        holder.model_dump_json(),
        repr(copy.copy(holder)),
    ]

    assert not [text for text in shown if CANARY in text]
    assert "T_SECRET" in repr(holder)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o444, 0o666])
def test_a_file_that_others_can_read_is_warned_of_once_and_still_works(tmp_path: Path, mode: int) -> None:
    secret = Secret(file=secret_file(tmp_path, mode=mode))

    with structlog.testing.capture_logs() as logs:
        assert [secret.reveal(), secret.reveal()] == [CANARY, CANARY]

    assert [entry["event"] for entry in logs] == ["secret.readable_by_others"]
    assert CANARY not in repr(logs)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_file_is_not_warned_of(tmp_path: Path, mode: int) -> None:
    with structlog.testing.capture_logs() as logs:
        Secret(file=secret_file(tmp_path, mode=mode)).reveal()

    assert logs == []


def test_two_that_are_kept_in_one_place_are_equal() -> None:
    assert Secret(env="A") == Secret(env="A") != Secret(env="B")
    assert len({Secret(env="A"), Secret(env="A"), Secret(file=Path("A"))}) == 2
    assert SecretUrl(plain="redis://a") != SecretUrl(plain="redis://b")


def test_a_url_without_a_password_may_be_written_out() -> None:
    assert SecretUrl.parse("redis://valkey:6379/0").reveal() == "redis://valkey:6379/0"


@pytest.mark.parametrize(
    "url", [f"redis://:{CANARY}@valkey:6379", f"redis://u:{CANARY}@h", f"unix:///s?password={CANARY}"]
)
def test_a_url_with_a_password_may_not(url: str) -> None:
    with pytest.raises(ValueError, match=r"holds a password; keep the URL in \{env: NAME\}") as caught:
        SecretUrl.parse(url)

    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("url", ["", "valkey", "valkey:6379:1", "http://[::1", "://x"])
def test_what_is_no_url_is_told_so(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        SecretUrl.parse(url).with_schemes("redis")
