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
