from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tocsin.cli.config import check_config, config_app, init, write_starter
from tocsin.settings import shipped

app = typer.Typer()
app.command("init")(init)
app.add_typer(config_app, name="config")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_starter(tmp_path)
    return tmp_path


def run(*arguments: str) -> tuple[int, list[str], list[str]]:
    """Exit code, lines of stdout, lines of stderr."""
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout.splitlines(), result.stderr.splitlines()


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_init_writes_a_folder_that_passes_the_check(tmp_path: Path) -> None:
    code, out, _ = run("init", str(tmp_path / "new folder"))
    assert code == 0
    assert f"3. tocsin run --config '{tmp_path}/new folder/tocsin.yml'" in out

    code, out, err = run("config", "check", "--config", str(tmp_path / "new folder" / "tocsin.yml"))
    assert (code, err) == (0, [])
    assert len(out) == 1
    assert "fine" in out[0]


def test_init_copies_every_shipped_template(folder: Path) -> None:
    templates = shipped("alerts") / "templates"
    names = sorted(path.relative_to(templates) for path in templates.rglob("*.j2"))

    assert names
    for name in names:
        assert (folder / "alerts/templates" / name).read_bytes() == (templates / name).read_bytes()


def test_init_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "tocsin.yml").write_text("mine")
    (tmp_path / "overlay.yml").symlink_to(tmp_path / "elsewhere.yml")

    code, out, _ = run("init", str(tmp_path))

    assert code == 0
    assert (tmp_path / "tocsin.yml").read_text() == "mine"
    assert not (tmp_path / "elsewhere.yml").exists()
    assert f"kept  {tmp_path}/tocsin.yml" in out
    assert f"wrote {tmp_path}/alerts/routing.yml" in out


def test_init_where_it_cannot_write_says_so(tmp_path: Path) -> None:
    (tmp_path / "alerts").write_text("a file, where a folder should be")

    code, _, err = run("init", str(tmp_path))

    assert code == 1
    assert err[0].startswith(f"{tmp_path}/alerts: cannot be written: ")


def test_every_commented_setting_of_the_starter_is_a_valid_one(folder: Path) -> None:
    """What stands behind `# ` in the starter can be switched on."""
    lines = (folder / "tocsin.yml").read_text().splitlines()
    settings = [line.replace("# ", "", 1) if _is_commented_setting(line) else line for line in lines]
    settings = [line for line in settings if not line.startswith(("redis_url", "#"))]
    (folder / "tocsin.yml").write_text("\n".join(settings))
    (folder / "ca.pem").write_text("")

    report = check_config(folder / "tocsin.yml")

    assert report.errors == []
    assert "4 channels" in report.counted
    assert any("AUTH0_STREAM_TOKEN is not set" in warning for warning in report.warnings)


def _is_commented_setting(line: str) -> bool:
    text = line.strip().removeprefix("# ")
    return (
        line.strip().startswith("# ")
        and text.split(":")[0].strip().replace("_", "").isalnum()
        and ":" in text
    )


def test_mistakes_everywhere_are_told_in_one_run(folder: Path) -> None:
    edit(folder / "tocsin.yml", "{type: console}", "{type: consol}")
    edit(folder / "tocsin.yml", "127.0.0.1:8080", "0.0.0.0:8080")
    edit(folder / "alerts/routing.yml", "group_wait", "group_wate")
    edit(folder / "overlay.yml", "#\n", "no_such_rule: {enabled: false}\n")
    (folder / "alerts/templates/console.j2").write_text("{% if %}")

    code, out, err = run("config", "check", "--config", str(folder / "tocsin.yml"))

    assert (code, out) == (1, [])
    told = "\n".join(err)
    assert 'channels.terminal: unknown type "consol"; did you mean "console"?' in told
    assert "0.0.0.0:8080 can be reached from other machines" in told
    assert "group_wate" in told
    assert "console.j2" in told
    assert "no_such_rule" in told


def test_mistakes_of_the_settings_hide_no_other(folder: Path) -> None:
    config = folder / "tocsin.yml"
    edit(config, "{type: console}", "{type: consol}\n  b: {type: email, hots: x}")
    edit(config, "type: auth0_stream", "type: auth0_strem")
    edit(
        config,
        "overlay: overlay.yml",
        "overlay: nowhere.yml\ntimezon: UTC\nheartbeat: {channel: zz, every: 5m}",
    )
    edit(folder / "alerts/routing.yml", "  # channels: [terminal]", "  channels: [soc]\n  grup_by: [a]")

    code, _, err = run("config", "check", "--config", str(config))

    assert code == 1
    for told in (
        'unknown type "consol"; did you mean "console"?',
        'unknown key "hots"; did you mean "host"?',
        'unknown type "auth0_strem"; did you mean "auth0_stream"?',
        '"nowhere.yml": no such file or folder',
        'unknown key "timezon"; did you mean "timezone"?',
        'heartbeat: there is no channel "zz"',
        'unknown channel "soc"',
        'unknown key "grup_by"; did you mean "group_by"?',
    ):
        assert sum(told in line for line in err) == 1, told
    assert len(err) == 8 + 3  # an e-mail channel lacks host, sender and to


def test_what_follows_from_a_wrong_setting_is_not_told(folder: Path) -> None:
    config = folder / "tocsin.yml"
    edit(config, "  terminal: {type: console}", "  terminal: console")
    edit(config, "rules: [shipped]", "rules: [nowhere]")
    edit(config, "listen: 127.0.0.1:8080 ", "listen: 0.0.0.0 ")
    edit(folder / "overlay.yml", "#\n", "no_such_rule: {enabled: false}\n")
    edit(folder / "alerts/routing.yml", "  # channels:", "  channels:")

    _, _, err = run("config", "check", "--config", str(config))

    assert [line.split(": ")[1] for line in err] == ["listen", "channels.terminal", "rules.0"]


def test_a_missing_rule_folder_hides_no_mistake_of_the_others(folder: Path) -> None:
    edit(folder / "tocsin.yml", "rules: [shipped]", "rules: [shipped, nowhere, rules]")
    edit(folder / "overlay.yml", "#\n", "of_nowhere: {enabled: false}\nip_throttled: {enabled: nope}\n")
    (folder / "rules/own.yml").write_text(
        "title: c\nlevel: hihg\n"
        "correlation: {type: event_count, rules: [of_nowhere], timespan: 1h, condition: {gte: 2}}\n"
    )

    errors = check_config(folder / "tocsin.yml").errors

    assert [line.partition(": ")[2].split()[0] for line in errors] == ["rules.1:", "enabled", "unknown"]


def test_a_wrong_channel_hides_no_missing_secret_of_another(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLACK_WEBHOOK_URL", raising=False)
    edit(folder / "tocsin.yml", "# oncall:", "oncall:")
    edit(folder / "tocsin.yml", "{type: console}", "{type: consol}")

    report = check_config(folder / "tocsin.yml")

    assert len(report.errors) == 1
    assert any("SLACK_WEBHOOK_URL is not set" in warning for warning in report.warnings)


@pytest.mark.parametrize(
    ("rules", "is_told"),
    [("[shipped]", True), ("[shipped, shipped/ecs]", False), ("[shipped, rules]", False)],
)
def test_a_source_that_no_rule_reads_is_a_warning_with_its_line(
    folder: Path, rules: str, is_told: bool
) -> None:
    edit(folder / "tocsin.yml", "rules: [shipped]", f"rules: {rules}")
    edit(folder / "tocsin.yml", "type: auth0_stream", "type: ecs_stream")
    (folder / "rules/own.yml").write_text("title: any\ndetection: {s: {a: b}, condition: s}\n")

    report = check_config(folder / "tocsin.yml")

    told = [warning for warning in report.warnings if "no rule reads" in warning]
    assert report.errors == []
    assert len(told) == is_told
    for warning in told:
        assert warning.startswith(f"{folder}/tocsin.yml:")
        assert "sources.auth0 (they are ecs's); write rules: [shipped, shipped/ecs]" in warning


def test_an_open_receiver_is_refused_with_its_line(folder: Path) -> None:
    edit(folder / "tocsin.yml", "127.0.0.1:8080", "0.0.0.0:8080")

    (error,) = check_config(folder / "tocsin.yml").errors

    assert error.startswith(f"{folder}/tocsin.yml:9: listen: 0.0.0.0:8080 can be reached from other machines")


def test_an_open_receiver_of_the_environment_is_refused_by_its_variable(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOCSIN_LISTEN", "0.0.0.0:8080")

    (error,) = check_config(folder / "tocsin.yml").errors

    assert error.startswith("TOCSIN_LISTEN: listen: 0.0.0.0:8080 can be reached")


def test_channels_need_no_routing_of_their_own(tmp_path: Path) -> None:
    config = tmp_path / "tocsin.yml"
    config.write_text("channels: {soc: {type: console}, mail: {type: console}}\n")

    report = check_config(config)

    assert (report.errors, report.warnings) == ([], [])


@pytest.mark.parametrize(
    ("channel", "told"),
    [
        ("url: 'http://127.0.0.1:9'", "127.0.0.1: http:// is for addresses in allow_private_cidrs only"),
        ("url: 'http://soc.example.com'", "soc.example.com: http:// is for addresses in allow_private_cidrs"),
        ("url: 'https://10.0.0.9/x'", "10.0.0.9: leads to 10.0.0.9, which is not a public address"),
        ("url: 'http://10.0.0.9', allow_private_cidrs: [192.168.0.0/16]", "10.0.0.9: http:// is for"),
        ("url: 'http://10.0.0.9', allow_private_cidrs: [10.0.0.0/8]", ""),
        ("url: 'http://soc.example.com', allow_private_cidrs: [10.0.0.0/8]", ""),
        ("url: 'https://soc.example.com'", ""),
    ],
)
def test_an_address_that_nothing_may_be_posted_to_is_no_fine_channel(
    tmp_path: Path, channel: str, told: str
) -> None:
    config = tmp_path / "tocsin.yml"
    config.write_text(f"channels:\n  hook: {{type: webhook, {channel}}}\n")

    errors = check_config(config).errors

    assert [error.startswith(f"{config}:2: channels.hook: {told}") for error in errors] == [True] * bool(told)


def test_a_token_that_can_be_guessed_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_TOKEN", "abcde")
    config = tmp_path / "tocsin.yml"
    config.write_text("sources:\n  a: {type: auth0_stream, tokens: [{env: STREAM_TOKEN}]}\n")

    (warning,) = check_config(config).warnings
    assert warning == (
        f"{config}:2: sources.a.tokens: one is so short that it can be guessed; "
        "take 32 characters or more: openssl rand -hex 32"
    )
    monkeypatch.setenv("STREAM_TOKEN", "a" * 32)
    assert check_config(config).warnings == []


def test_a_channel_that_no_route_tells_is_warned_of(folder: Path) -> None:
    edit(
        folder / "tocsin.yml",
        "{type: console}",
        "{type: console}\n  a: {type: console}\n  b: {type: console}",
    )
    edit(folder / "tocsin.yml", "# heartbeat: {channel: soc", "heartbeat: {channel: b")
    edit(folder / "alerts/routing.yml", "  # channels:", "  channels:")

    (warning,) = check_config(folder / "tocsin.yml").warnings

    assert warning.startswith(f"{folder}/tocsin.yml:25: channels.a: no route in {folder}/alerts/routing.yml")


def test_rule_warnings_are_told_beside_rule_errors(folder: Path) -> None:
    (folder / "rules/own.yml").write_text(
        "title: t\nlevel: hihg\nlogsource: {product: auth0}\ndetection: {s: {data.type: fpp}, condition: s}\n"
    )
    edit(folder / "tocsin.yml", "rules: [shipped]", "rules: [rules]")

    report = check_config(folder / "tocsin.yml")

    assert [line.split(":")[1:3] for line in report.errors] == [["2", "8"]]
    assert [line.split(":")[1:3] for line in report.warnings] == [["4", "28"]]


def test_settings_mistakes_have_lines(folder: Path) -> None:
    edit(folder / "tocsin.yml", "data_dir:", "data_dirr:")

    code, _, err = run("config", "check", "--config", str(folder / "tocsin.yml"))

    assert code == 1
    assert len(err) == 1
    assert 'unknown key "data_dirr"; did you mean "data_dir"?' in err[0]


def test_the_check_touches_nothing(folder: Path) -> None:
    before = sorted(folder.rglob("*"))

    assert check_config(folder / "tocsin.yml").errors == []

    assert sorted(folder.rglob("*")) == before


def test_the_defaults_are_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    code, out, _ = run("config", "check")

    assert code == 0
    assert out[0].startswith("the default settings: fine")


def test_the_file_here_is_checked_when_none_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)

    _, out, _ = run("config", "check")

    assert out[0].startswith("tocsin.yml: fine")


def test_a_secret_is_never_printed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_WEBHOOK_URL", "https://hooks.slack.com/services/canary")
    edit(folder / "tocsin.yml", "# oncall:", "oncall:")

    code, out, err = run("config", "check", "--config", str(folder / "tocsin.yml"))

    assert code == 0
    assert "canary" not in "".join([*out, *err])
