from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from textwrap import dedent
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from tocsin.errors import ConfigError
from tocsin.settings import (
    Duration,
    Listen,
    LocalPath,
    Secret,
    Settings,
    load_settings,
    mistaken_variables,
    read_settings,
    secrets_in,
    shipped,
    shipped_rules,
    validate_channels,
)

FULL = """\
data_dir: ./data
rules: [rules/, shipped]
overlay: overlay.yml
routing: alerts/routing.yml
templates: [alerts/templates]
listen: 127.0.0.1:8081
sources:
  tenant:
    {type: auth0_stream, tokens: [{env: AUTH0_TOKEN}, {file: token}], allowed_lateness: 90s, tenant: a}
channels:
  oncall: {type: slack, webhook_url: {env: SLACK_WEBHOOK_URL}}
  mail: {type: email, host: mail, port: 587, tls: starttls, password: {file: p}, sender: s, to: [a]}
  terminal: {type: console}
external_url: https://tocsin.example.com/
lists: {trusted_ips: lists/ips.txt}
trusted_rules: ["legacy-*"]
timezone: Europe/Madrid
proxy: http://proxy:3128
ca_file: ca.pem
retention: {alerts: 30d}
notify_max_age: null
heartbeat: {channel: oncall, every: 5m}
unsafe_store: true
max_memory: 1gb
"""


@pytest.fixture(autouse=True)
def no_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.upper().startswith("TOCSIN_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("rules", "alerts/templates", "lists"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("overlay.yml", "alerts/routing.yml", "lists/ips.txt", "ca.pem"):
        (tmp_path / name).write_text("")
    return tmp_path


def load(folder: Path, text: str) -> Settings:
    path = folder / "tocsin.yml"
    path.write_text(dedent(text))
    return load_settings(path)


def errors(folder: Path, text: str) -> list[str]:
    """The error lines, without the folder."""
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    return [line.removeprefix(f"{folder}/") for line in str(caught.value).splitlines()]


def test_the_whole_file_is_read(folder: Path) -> None:
    settings = load(folder, FULL)

    assert settings.data_dir == folder / "data"
    assert settings.rules == [folder / "rules", *shipped_rules()]
    assert settings.routing == folder / "alerts/routing.yml"
    assert settings.listen == Listen("127.0.0.1", 8081)
    assert settings.sources["tenant"].tokens == [
        Secret(env="AUTH0_TOKEN"),
        Secret(file=folder / "token"),
    ]
    assert settings.sources["tenant"].allowed_lateness == timedelta(seconds=90)
    assert settings.sources["tenant"].tenant == "a"
    assert settings.channels["mail"]["port"] == 587
    assert settings.external_url == "https://tocsin.example.com"
    assert settings.lists == {"trusted_ips": folder / "lists/ips.txt"}
    assert settings.timezone == "Europe/Madrid"
    assert settings.retention.alerts == timedelta(days=30)
    assert settings.notify_max_age is None
    assert settings.heartbeat is not None
    assert settings.heartbeat.every == timedelta(minutes=5)
    assert settings.max_memory == 1024**3


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}"])
def test_an_empty_file_is_the_defaults(folder: Path, text: str) -> None:
    settings = load(folder, text)

    assert settings.listen == Listen("127.0.0.1", 8080)
    assert settings.data_dir == folder / "data"
    assert settings.channels == {"terminal": {"type": "console"}}


def test_without_a_file_everything_has_a_default() -> None:
    settings = load_settings(None)

    assert settings.rules == shipped_rules()
    assert settings.routing == shipped("alerts") / "routing.yml"
    assert settings.redis_url is None
    assert settings.notify_max_age == timedelta(hours=24)
    assert settings.retention.alerts == timedelta(days=90)
    assert [source.allowed_lateness for source in settings.sources.values()] == [timedelta(seconds=60)]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a: 1\nchanels: {}", 'tocsin.yml:2: unknown key "chanels"; did you mean "channels"?'),
        ("zzzzzz: 1", 'tocsin.yml:1: unknown key "zzzzzz"'),
        ("_env_file: .env", "tocsin.yml:1: unknown key"),
        ("self: 1", 'tocsin.yml:1: unknown key "self"'),
        (
            "heartbeat:\n  channel: terminal\n  evry: 5m\n  every: 1m",
            'tocsin.yml:3: unknown key "evry"; did you mean "every"?',
        ),
        (
            "sources:\n  x:\n    type: auth0_stream\n    tokns: []",
            'tocsin.yml:4: unknown key "tokns"; did you mean "tokens"?',
        ),
        (
            "sources:\n  x:\n    type: kafka",
            'tocsin.yml:3: sources.x.type: unknown type "kafka"; there are auth0_stream, ecs_stream',
        ),
        ("sources:\n  x: {}", "tocsin.yml:2: sources.x.type is missing"),
        ("sources:\n  'a/b': {type: auth0_stream}", "'a/b' is not a name"),
        (
            "sources: {x: {type: auth0_stream, tokens: [abc]}}",
            "tocsin.yml:1: sources.x.tokens.0: secrets are not",
        ),
        (
            "sources: {x: {type: auth0_stream, tokens: abc}}",
            "tocsin.yml:1: sources.x.tokens: input should be a",
        ),
        (
            "sources: {x: {type: auth0_stream, allowed_lateness: 60}}",
            "allowed_lateness: '60' is not a duration",
        ),
        ("listen: 8080", "tocsin.yml:1: listen: 8080 is not an address; write host:port"),
        ("listen: '127.0.0.1:99999'", "is not an address"),
        ("listen: '::1:80'", "is not an address"),
        ("listen: ':80'", "is not an address"),
        ("retention: {alerts: 0s}", "retention.alerts: input should be greater than or equal to"),
        ("retention: {alerts: 999999d}", "retention.alerts: '999999d' is too long a duration"),
        (
            "notify_max_age: tomorrow",
            "notify_max_age: 'tomorrow' is not a duration; write a number and a unit",
        ),
        ("max_memory: 512", "max_memory: 512 is not a size; write a number and a unit, like 512mb"),
        ("max_memory: 1kb", "max_memory: input should be greater than or equal to 16777216"),
        ("rules: [nowhere/]", 'rules.0: "nowhere": no such file or folder'),
        ("rules: []", "rules: "),
        ("overlay: nowhere.yml", 'overlay: "nowhere.yml": no such file or folder'),
        ("routing: ~nobody-here/x", "routing: "),
        ('ca_file: "a\\0b"', "ca_file: "),
        ("timezone: Mars/Olympus", "timezone: 'Mars/Olympus' is not a time zone"),
        ("timezone: ../../etc/passwd", "is not a time zone"),
        ("external_url: tocsin.example.com", "external_url: 'tocsin.example.com' is not a web address"),
        ("external_url: javascript:alert(1)", "is not a web address"),
        ("external_url: https://u:p@h", "holds no user name or password"),
        ("redis_url: http://x", "redis_url: the URL must begin with redis:// or rediss:// or unix://"),
        (
            "redis_url: redis://:hunter2@h",
            "redis_url: this URL holds a password; keep the URL in {env: NAME}",
        ),
        ("unsafe_store: maybe", "unsafe_store: input should be a valid boolean"),
        (
            "\nheartbeat: {channel: pager, every: 5m}",
            'tocsin.yml:2: heartbeat: there is no channel "pager"; there are: terminal',
        ),
        (
            "heartbeat:\n  channel: pager\n  every: soon",
            'tocsin.yml:2: heartbeat: there is no channel "pager"; there are: terminal',
        ),
        ("heartbeat: {channel: [], every: 5m}", "heartbeat.channel: input should be a valid string"),
        ("sources: {x: {type: auth0_strem}}", 'unknown type "auth0_strem"; did you mean "auth0_stream"?'),
        ("channels: {x: slack}", "tocsin.yml:1: channels.x: input should be a valid dictionary"),
        ("- a\n- b", "tocsin.yml:1: settings are `key: value` lines"),
        ("just text", "tocsin.yml:1: settings are `key: value` lines"),
    ],
)
def test_a_mistake_has_a_line_and_a_way_out(folder: Path, text: str, error: str) -> None:
    found = errors(folder, text)

    assert any(error in line for line in found), found
    assert all(line.startswith("tocsin.yml:") for line in found)
    assert not any("hunter2" in line for line in found)


def test_all_mistakes_are_told_at_once_in_the_files_order(folder: Path) -> None:
    found = errors(
        folder,
        """\
        listen: 8080
        chanels: {}
        timezone: Mars
        sources:
          x: {type: kafka}
        zzz: 1
        """,
    )

    assert [line.split(":")[1] for line in found] == ["1", "2", "3", "5", "6"]


def test_a_channel_that_is_wrong_itself_is_there_for_the_heartbeat(folder: Path) -> None:
    text = "channels: {x: slack}\nheartbeat: {channel: x, every: 5m}"

    assert errors(folder, text) == ["tocsin.yml:1: channels.x: input should be a valid dictionary"]


def test_what_is_sound_is_read_beside_what_is_wrong(folder: Path) -> None:
    path = folder / "tocsin.yml"
    path.write_text(
        "tenant: acme\nlisten: 8080\nsources: {a: {type: kafka}, b: {type: auth0_stream}}\n"
        "rules: [nowhere, rules]\ntemplates: [nowhere]\n"
    )

    reading = read_settings(path)

    assert reading.settings is not None
    assert (reading.settings.tenant, [*reading.settings.sources]) == ("acme", ["b"])
    assert reading.settings.rules == [folder / "rules"]
    assert reading.settings.templates == load_settings(None).templates
    assert reading.wrong == {"listen", "sources.a", "rules", "templates"}
    assert len(reading.problems) == 4


@pytest.mark.parametrize(("name", "value"), [("TOCSIN_LISTEN", "x"), ("TOCSIN_RULES", "no json")])
def test_a_wrong_variable_hides_nothing_of_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    path = folder / "tocsin.yml"
    path.write_text("tenant: acme\nheartbeat: {channel: pager, every: 5m}\n")
    monkeypatch.setenv(name, value)

    reading = read_settings(path)

    assert reading.settings is not None
    assert reading.settings.tenant == "acme"
    assert len(reading.problems) == 2


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tocsin\.yml: no such file; `tocsin init` writes one"):
        load_settings(tmp_path / "tocsin.yml")


def test_the_environment_wins_over_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_LISTEN", "0.0.0.0:9090")
    monkeypatch.setenv("TOCSIN_HEARTBEAT__EVERY", "1h")
    monkeypatch.setenv("TOCSIN_SOURCES__TENANT__ALLOWED_LATENESS", "5m")

    settings = load(folder, FULL)

    assert settings.listen == Listen("0.0.0.0", 9090)
    assert settings.heartbeat is not None
    assert (settings.heartbeat.channel, settings.heartbeat.every) == ("oncall", timedelta(hours=1))
    assert settings.sources["tenant"].allowed_lateness == timedelta(minutes=5)
    assert settings.sources["tenant"].tenant == "a"


def test_a_wrong_variable_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_HEARTBEAT__EVERY", "soon")
    monkeypatch.setenv("TOCSIN_RULES", "not json")

    with pytest.raises(ConfigError) as caught:
        load(folder, "rules: [shipped]")
    assert "rules" in str(caught.value)

    monkeypatch.delenv("TOCSIN_RULES")
    assert any(
        line.startswith("TOCSIN_HEARTBEAT__EVERY: 'soon' is not a duration") for line in errors(folder, FULL)
    )


def test_a_store_url_from_the_environment_may_hold_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_REDIS_URL", "redis://:hunter2@valkey:6379/0")

    settings = load_settings(None)

    assert settings.redis_url is not None
    assert settings.redis_url.reveal() == "redis://:hunter2@valkey:6379/0"
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "warned"),
    [
        ("TOCSIN_LISTN", True),
        ("TOCSIN_HEARTBEET__EVERY", True),
        ("TOCSIN_LISTEN", False),
        ("TOCSIN_SOURCES__AUTH0__TENANT", False),
        ("TOCSIN_PORT_8080_TCP", False),  # what Kubernetes makes for a service called tocsin
        ("LISTN", False),
    ],
)
def test_a_misspelt_variable_is_noticed(monkeypatch: pytest.MonkeyPatch, name: str, warned: bool) -> None:
    monkeypatch.setenv(name, "x")

    assert any(name in line for line in mistaken_variables()) is warned


def test_settings_never_show_a_secret(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH0_TOKEN", "canary-5b7e")
    settings = load(folder, FULL)
    settings.sources["tenant"].tokens[0].reveal()

    assert "canary-5b7e" not in repr(settings) + str(settings) + settings.model_dump_json()


def test_settings_do_not_change(folder: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load(folder, "").listen = Listen("0.0.0.0", 1)  # type: ignore[misc]


@pytest.mark.parametrize("name", ["rules", "alerts"])
def test_what_is_shipped_is_found(name: str) -> None:
    assert shipped(name).is_dir()


def test_the_rules_of_any_provider_are_loaded_where_they_are_named(folder: Path) -> None:
    settings = load(folder, "rules: [shipped, shipped/ecs, rules]")

    assert settings.rules == [*shipped_rules(), shipped("rules") / "ecs", folder / "rules"]
    assert shipped("rules") / "ecs" not in shipped_rules()


def test_one_shipped_rule_is_loaded_where_it_is_named(folder: Path) -> None:
    settings = load(folder, "rules: [shipped/ecs/ecs_new_network_for_user.yml]")

    assert settings.rules == [shipped("rules") / "ecs" / "ecs_new_network_for_user.yml"]


def test_a_set_of_rules_that_is_not_shipped_is_told_by_its_line(folder: Path) -> None:
    assert errors(folder, "rules:\n  - shipped\n  - shipped/nope\n  - rules") == [
        'tocsin.yml:3: rules.1: "shipped/nope": no such file or folder'
    ]


def test_what_is_not_shipped_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="no nonsense/ folder"):
        shipped("nonsense")


class Pager:
    class Config(BaseModel):
        model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
        key: Secret
        after: Duration = timedelta(seconds=1)
        file: LocalPath | None = None
        inside: tuple[IPv4Network | IPv6Network, ...] = ()


class Bell:
    class Config(BaseModel):
        model_config = ConfigDict(extra="forbid")
        type: str
        volume: int = 1


class Registry:
    CHANNELS: ClassVar[dict[str, Any]] = {"pager": Pager, "bell": Bell}


def channel_errors(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        validate_channels(load(folder, text), Registry.CHANNELS)
    return [line.removeprefix(f"{folder}/") for line in str(caught.value).splitlines()]


def test_each_channel_is_judged_by_its_own_config(folder: Path) -> None:
    settings = load(
        folder,
        """\
        channels:
          night: {type: pager, key: {file: key}, after: 2m, file: log}
          desk: {type: bell}
        """,
    )

    made = validate_channels(settings, Registry.CHANNELS)

    assert made["night"] == Pager.Config(
        key=Secret(file=folder / "key"), after=timedelta(minutes=2), file=folder / "log"
    )
    assert made["desk"] == Bell.Config(type="bell")
    assert list(secrets_in(made["night"])) == [Secret(file=folder / "key")]


def test_channel_mistakes_have_lines_too_all_at_once(folder: Path) -> None:
    found = channel_errors(
        folder,
        """\
        channels:
          a: {type: pagr}
          b: {volume: 3}
          c:
            type: pager
            kee: {env: X}
            after: 3
          d: {type: bell, volume: loud}
          e: {type: pager, key: hunter2}
          f: {type: [x]}
        """,
    )

    assert found == [
        'tocsin.yml:2: channels.a: unknown type "pagr"; did you mean "pager"?',
        "tocsin.yml:3: channels.b: type is missing; write one of bell, pager",
        "tocsin.yml:4: channels.c.key is missing",
        'tocsin.yml:6: unknown key "kee"; did you mean "key"?',
        (
            "tocsin.yml:7: channels.c.after: '3' is not a duration; write a number and a unit, "
            "like 30s, 10m, 4h or 7d"
        ),
        (
            "tocsin.yml:8: channels.d.volume: input should be a valid integer, "
            "unable to parse string as an integer"
        ),
        "tocsin.yml:9: channels.e.key: secrets are not written here; use {env: NAME} or {file: PATH}",
        "tocsin.yml:10: channels.f: unknown type \"['x']\"; there are bell, pager",
    ]


@pytest.mark.parametrize(
    ("network", "told"),
    [
        ("10.0.0.1/8", "host bits set; write 10.0.0.0/8"),
        ("fd00::1/8", "host bits set; write fd00::/8"),
        ("home", "this is no network; write one like 10.0.0.0/8 or fd00::/8"),
    ],
)
def test_a_wrong_network_is_told_once_with_the_way_out(folder: Path, network: str, told: str) -> None:
    found = channel_errors(
        folder, f"channels: {{a: {{type: pager, key: {{env: X}}, inside: ['{network}']}}}}"
    )

    assert found == [f"tocsin.yml:1: channels.a.inside.0: {told}"]
