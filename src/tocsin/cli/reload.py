"""`tocsin reload`: make the running service read its rules anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx2
import msgspec
import typer

from tocsin.cli.connect import config_of
from tocsin.errors import ConfigError, Error
from tocsin.settings import Listen, read_settings
from tocsin.telemetry import visible

TIMEOUT_S = 60.0
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a service that listens everywhere is found
Answer = dict[str, Any]


def reload(
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The settings [default: ./tocsin.yml, if there is one]."),
    ] = None,
) -> None:
    """Make the running service read its rules anew.

    It says what changed. If there is a mistake, all of them are told, the service goes on with the rules
    it has, and this exits 1.

    Example: tocsin reload --config tocsin.yml
    """
    listen, mistaken = _address(config)
    for line in mistaken:
        typer.echo(visible(line), err=True)
    answer = _asked(Listen(EVERYWHERE.get(listen.host, listen.host), listen.port))
    refused = answer["status"] != "reloaded"
    for line in _mistakes(answer["errors"]) if refused else _changes(answer):
        typer.echo(visible(line), err=refused)
    raise typer.Exit(1 if refused or mistaken else 0)


def _address(config: Path | None) -> tuple[Listen, list[str]]:
    """Where the service listens, and what is wrong with other settings: it is asked all the same.

    Raises:
        ConfigError: nothing can be told of where it listens.
    """
    reading = read_settings(config_of(config))
    if reading.settings is None or "listen" in reading.wrong:
        raise ConfigError("\n".join(reading.problems))
    return reading.settings.listen, reading.problems


def _asked(address: Listen) -> Answer:
    """What the service at that address answers.

    Raises:
        Error: there is none, or it is no answer of ours.
    """
    url = f"http://{address}/-/reload"
    try:
        with httpx2.Client(trust_env=False, timeout=TIMEOUT_S) as client:
            response = client.post(url)
    except httpx2.HTTPError as exc:
        raise Error(f"{url}: no answer ({exc}); is `tocsin run` up, with this --config?") from exc
    try:
        answer: Answer = msgspec.json.decode(response.content, type=dict[str, Any])
    except msgspec.DecodeError as exc:
        raise Error(f"{url}: answers {response.status_code}, but is no tocsin that can reload") from exc
    if answer.get("status") not in ("reloaded", "refused"):
        raise Error(f"{url}: {answer.get('error', response.status_code)}")
    return answer


def _changes(answer: Answer) -> Iterator[str]:
    for what in ("added", "removed", "changed", "warming"):
        if answer[what]:
            yield f"{what}: {', '.join(answer[what])}"
    for name, why in answer["not_running"].items():
        yield f"not running: {name}: {why}"
    for warning in answer["warnings"]:
        yield f"{_place(warning)}: warning: {warning['message']}"
    same = "" if answer["added"] or answer["removed"] or answer["changed"] else ", the same as before"
    yield f"{answer['rules']} rules at work{same}"


def _mistakes(errors: list[Answer]) -> Iterator[str]:
    for error in errors:
        yield f"{_place(error)}: {error['message']}"
    count = "1 mistake" if len(errors) == 1 else f"{len(errors)} mistakes"
    yield f"refused, {count}: the rules from before are still at work"


def _place(error: Answer) -> str:
    return f"{error['file']}:{error['line']}:{error['column']}"
