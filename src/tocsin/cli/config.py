"""`tocsin config check` and `tocsin init`: what an operator writes, judged, and something to start from."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from pydantic import BaseModel

from tocsin.enrichment import open_databases
from tocsin.errors import ConfigError, RuleErrors
from tocsin.settings import (
    Secret,
    Settings,
    mistaken_variables,
    placed,
    read_settings,
    secrets_in,
    shipped,
    validate_channels,
)
from tocsin.telemetry import visible

DEFAULT_CONFIG = Path("tocsin.yml")
STARTER = Path(__file__).resolve().parent / "starter"

config_app = typer.Typer(help="Check the settings.", no_args_is_help=True)


@config_app.command("check")
def check(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="The settings [default: ./tocsin.yml, if there is one]."
        ),
    ] = None,
) -> None:
    """Check the settings and every file they name.

    That is channels, routes, templates and rules; nothing is sent, and no server asked. Prints every
    mistake as `file:line: what`, and then exits 1. What need not stop tocsin here and now, like a
    secret that only the server has, is a warning.

    Example: tocsin config check --config tocsin.yml
    """
    if config is None and DEFAULT_CONFIG.exists():
        config = DEFAULT_CONFIG
    report = check_config(config)
    for warning in report.warnings:
        typer.echo(f"warning: {visible(warning)}", err=True)
    for error in report.errors:
        typer.echo(visible(error), err=True)
    if report.errors:
        raise typer.Exit(1)
    typer.echo(f"{config or 'the default settings'}: fine, {', '.join(report.counted)}")


@dataclass(slots=True)
class Report:
    """What a check found: lines for people, each with its place. `counted` is what there is."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    wrong: frozenset[str] = frozenset()  # parts of the settings that have a default's value instead
    counted: list[str] = field(default_factory=list)


def check_config(config: Path | None) -> Report:
    """Everything that is wrong with the settings in `config` (None: the defaults), and what they name."""
    reading = read_settings(config)
    report = Report(warnings=mistaken_variables(), errors=reading.problems, wrong=reading.wrong)
    if reading.settings is None:  # nothing else can be judged without them
        return report
    for judge in (_check_channels, _check_receiver, _check_routing, _check_templates, _check_rules):
        try:
            judge(reading.settings, report)
        except RuleErrors as exc:
            report.errors += map(str, exc.errors)
            report.warnings += map(str, exc.warnings)
        except ConfigError as exc:
            report.errors += str(exc).splitlines()
    return report


def _check_channels(settings: Settings, report: Report) -> None:
    from tocsin.delivery.channels import CHANNELS

    if "channels" in report.wrong:
        return
    report.counted.append(_count(len(settings.channels), "channel"))
    for name, written in settings.channels.items():  # one by one: a wrong one hides nothing of the others
        try:
            configs = validate_channels(settings.model_copy(update={"channels": {name: written}}), CHANNELS)
        except ConfigError as exc:
            report.errors += str(exc).splitlines()
        else:
            _check_secrets(f"channels.{name}", configs[name], report)
            if told := _refused(configs[name]):
                report.errors.append(
                    placed(settings.document, ("channels", name), f"channels.{name}: {told}")
                )


def _refused(channel: BaseModel) -> str:
    """Why nothing can ever be sent to where an HTTP channel posts; empty where no reason shows."""
    from tocsin.delivery.http import refused

    url = getattr(channel, "url", None) or getattr(channel, "webhook_url", None)
    if not isinstance(url, Secret):
        return ""
    try:
        return refused(url.reveal(), getattr(channel, "allow_private_cidrs", ()))
    except ConfigError:
        return ""  # it is not here, which is told already


def _check_receiver(settings: Settings, report: Report) -> None:
    from tocsin.api.doors import LEAST_TOKEN_BYTES, has_short_token, refuse_open_receiver

    report.counted.append(_count(len(settings.sources), "source"))
    for name, source in settings.sources.items():
        _check_secrets(f"sources.{name}", source, report)
        if has_short_token(source):
            told = (
                f"sources.{name}.tokens: one is so short that it can be guessed; "
                f"take {LEAST_TOKEN_BYTES} characters or more: openssl rand -hex {LEAST_TOKEN_BYTES}"
            )
            report.warnings.append(placed(settings.document, ("sources", name, "tokens"), told))
    for name, secret in (("redis_url", settings.redis_url), ("proxy", settings.proxy)):
        if secret is not None:
            _check_secret(name, secret, report)
    if not report.wrong & {"listen", "sources"}:
        refuse_open_receiver(settings.listen, settings.sources, settings.document)


def _check_routing(settings: Settings, report: Report) -> None:
    from tocsin.alerts.routing_file import channels_told, load_routing

    if report.wrong & {"channels", "routing"}:
        return
    # One that is wrong in itself is there all the same: to name it is no second mistake.
    wrong = [name.removeprefix("channels.") for name in report.wrong if name.startswith("channels.")]
    route = load_routing(settings.routing, [*settings.channels, *wrong])
    report.counted.append(f"routes in {settings.routing}")
    silent = settings.channels.keys() - channels_told(route)
    if settings.heartbeat is not None:
        silent -= {settings.heartbeat.channel}
    for name in sorted(silent):
        told = f"channels.{name}: no route in {settings.routing} tells it; name it there, or remove it"
        report.warnings.append(placed(settings.document, ("channels", name), told))


def _check_templates(settings: Settings, report: Report) -> None:
    from tocsin.app import make_renderer

    renderer = make_renderer(settings)
    report.errors += renderer.problems()
    report.counted.append(_count(len(settings.templates), "folder") + " of templates")


def _check_rules(settings: Settings, report: Report) -> None:
    from tocsin.rules.load import load
    from tocsin.rules.tools.reach import unread_told

    if any(name.split(".")[0] in ("lists", "trusted_rules") for name in report.wrong):
        return  # what they lack is no mistake of the rules
    rules = load(
        settings.rules,
        overlay=settings.overlay,
        lists=settings.lists,
        trusted=settings.trusted_rules,
        locator=open_databases(settings.geo),
        some_missing="rules" in report.wrong,
    ).ruleset
    report.warnings += [str(warning) for warning in rules.warnings]
    report.counted.append(_count(len(rules.rules), "rule"))
    if "rules" not in report.wrong and "sources" not in report.wrong:
        for name, source in settings.sources.items():
            if told := unread_told(rules, source.provider, f"sources.{name}"):
                report.warnings.append(placed(settings.document, ("sources", name), told))


def _check_secrets(where: str, model: BaseModel, report: Report) -> None:
    for secret in secrets_in(model):
        _check_secret(where, secret, report)


def _check_secret(where: str, secret: Secret, report: Report) -> None:
    """Only a warning: a check in CI has not the server's secrets."""
    try:
        secret.reveal()
    except ConfigError as exc:
        report.warnings.append(f"{where}: {exc}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def init(
    directory: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="Where to; made when it is not there.")
    ] = Path(),
) -> None:
    """Write a commented starter folder.

    Settings, routes, templates, an overlay, room for rules. Never overwrites a file.

    Example: tocsin init /etc/tocsin
    """
    try:
        results = write_starter(directory)
    except OSError as exc:
        typer.echo(f"{exc.filename or directory}: cannot be written: {exc.strerror}", err=True)
        raise typer.Exit(1) from exc
    for path, written in results:
        typer.echo(f"{'wrote' if written else 'kept '} {path}")
    config = shlex.quote(str(directory / "tocsin.yml"))
    typer.echo("")
    typer.echo(f"1. Read {directory / 'tocsin.yml'}: a channel to tell people, a token for your log stream.")
    typer.echo(f"2. tocsin config check --config {config}")
    typer.echo(f"3. tocsin run --config {config}")


class Written(NamedTuple):
    """A file of the starter folder; `written` is False where there was one already."""

    path: Path
    written: bool


def write_starter(directory: Path) -> list[Written]:
    """Write what is missing of the starter folder.

    Raises:
        OSError: something cannot be written; what was written before stays.
    """
    return [
        Written(directory / place, _write_new(directory / place, read()))
        for place, read in sorted(_starter_files(), key=lambda item: item[0])
    ]


def _starter_files() -> Iterator[tuple[Path, Callable[[], bytes]]]:
    """Where each file goes, and what reads it. The templates are the shipped ones."""
    for path in STARTER.rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            yield path.relative_to(STARTER), path.read_bytes
    templates = shipped("alerts") / "templates"
    for path in templates.rglob("*.j2"):
        yield Path("alerts/templates") / path.relative_to(templates), path.read_bytes


def _write_new(path: Path, content: bytes) -> bool:
    """Write a file that is not there; False where anything is, a dangling link too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        return False
    return True
