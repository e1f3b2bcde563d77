"""What can be said of the containers without an engine: that their files agree with each other."""

from __future__ import annotations

import re
import shlex
import stat
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from tocsin.settings import Secret, load_settings

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("tocsin", "valkey", "mailpit")


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's (instruction, arguments), continuation lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def arguments_of(name: str) -> list[str]:
    return [arguments for instruction, arguments in instructions() if instruction == name]


def test_there_are_tocsin_its_store_and_a_mail_catcher(compose: Any) -> None:
    assert set(compose["services"]) == set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined(compose: Any, name: str) -> None:
    service = compose["services"][name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["pids_limit"]
    user, _, group = service["user"].partition(":")
    assert int(user) > 0
    assert int(group) > 0


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_healthcheck_that_ends(compose: Any, name: str) -> None:
    check = compose["services"][name]["healthcheck"]

    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert _seconds(check["timeout"]) < _seconds(check["interval"])


def _seconds(text: str) -> int:
    return int(text.removesuffix("s"))


@pytest.mark.parametrize("name", ["valkey", "mailpit"])
def test_images_are_pinned(compose: Any, name: str) -> None:
    assert re.fullmatch(r"[\w/-]+:v?\d+\.\d+\.\d+(-\w+)?", compose["services"][name]["image"])


def test_ports_are_published_on_this_machine_alone(compose: Any) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert "ports" not in compose["services"]["valkey"]


def test_the_store_cannot_be_reached_from_outside(compose: Any) -> None:
    assert compose["networks"]["inside"]["internal"] is True
    assert compose["services"]["valkey"]["networks"] == ["inside"]


def test_tocsin_waits_for_a_healthy_store(compose: Any) -> None:
    assert compose["services"]["tocsin"]["depends_on"]["valkey"] == {"condition": "service_healthy"}


def test_stopping_leaves_the_15_seconds_that_tocsin_may_take(compose: Any) -> None:
    assert _seconds(compose["services"]["tocsin"]["stop_grace_period"]) > 15


def test_secrets_are_files_outside_version_control(compose: Any) -> None:
    assert compose["secrets"]
    for secret in compose["secrets"].values():
        assert set(secret) == {"file"}
        assert secret["file"].startswith("./docs/deploy/secrets/")
    assert (ROOT / "docs/deploy/secrets/.gitignore").read_text().splitlines() == ["*", "!.gitignore"]


def test_what_services_name_is_defined(compose: Any) -> None:
    named: dict[str, set[str]] = {"secrets": set(), "volumes": set(), "networks": set(), "configs": set()}
    for service in compose["services"].values():
        named["secrets"] |= set(service.get("secrets", []))
        named["networks"] |= set(service.get("networks", []))
        named["volumes"] |= {volume.split(":")[0] for volume in service.get("volumes", [])}
        named["configs"] |= {config["source"] for config in service.get("configs", [])}

    assert named == {kind: set(compose[kind]) for kind in named}


def test_no_secret_stands_in_the_environment(compose: Any) -> None:
    names = {name for service in compose["services"].values() for name in service.get("environment", {})}

    assert not [name for name in names if re.search("PASS|TOKEN|SECRET|URL", name)]


def test_the_settings_read_exactly_the_secrets_that_are_given(compose: Any) -> None:
    settings = load_settings(ROOT / compose["configs"]["settings"]["file"])

    given = {Secret(file=Path("/run/secrets") / name) for name in compose["services"]["tocsin"]["secrets"]}
    assert settings.redis_url is not None
    read = {f"file {place}" for place in ["/run/secrets/auth0_stream_token", settings.redis_url.place[5:]]}
    assert read == {secret.place for secret in given}
    assert settings.sources["auth0"].tokens == [Secret(file=Path("/run/secrets/auth0_stream_token"))]


def test_the_settings_fit_the_containers(compose: Any) -> None:
    settings = load_settings(ROOT / compose["configs"]["settings"]["file"])
    tocsin = compose["services"]["tocsin"]

    assert str(settings.listen) == "0.0.0.0:8080"
    assert tocsin["ports"] == ["127.0.0.1:8080:8080"]
    assert [volume.split(":")[1] for volume in tocsin["volumes"]] == [str(settings.data_dir)]
    assert settings.channels["mail"]["host"] in compose["services"]
    targets = {Path(config["target"]).name for config in tocsin["configs"]}
    assert targets == {"tocsin.yml", settings.routing.name}


def test_the_settings_pass_the_check(tmp_path: Path) -> None:
    from tocsin.cli.config import check_config

    report = check_config(ROOT / "docs/deploy/tocsin.yml")

    assert report.errors == []


def test_the_store_keeps_what_it_is_given(compose: Any) -> None:
    script = compose["services"]["valkey"]["command"][0]

    for line in ("appendonly yes", "appendfsync always", "maxmemory-policy noeviction", "dir /data"):
        assert line in script.splitlines()
    assert "valkey-data:/data" in compose["services"]["valkey"]["volumes"]


@pytest.mark.parametrize("which", ["command", "healthcheck"])
def test_the_stores_shell_finds_the_password_in_the_url(compose: Any, tmp_path: Path, which: str) -> None:
    """Runs the very script, with stand-ins that print what they are given."""
    valkey = compose["services"]["valkey"]
    script = valkey["command"][0] if which == "command" else valkey["healthcheck"]["test"][1]
    (tmp_path / "redis_url").write_text("redis://:s3cr3t-of-mine@valkey:6379/0\n")
    (tmp_path / "valkey-server").write_text('#!/bin/sh\necho "$@"\ncat\n')
    (tmp_path / "valkey-cli").write_text(f'#!/bin/sh\necho "$REDISCLI_AUTH" >{tmp_path}/auth\necho PONG\n')
    for name in ("valkey-server", "valkey-cli"):
        (tmp_path / name).chmod(0o755)

    script = script.replace("$$", "$").replace("/run/secrets", str(tmp_path))
    done = subprocess.run(
        ["/bin/sh", "-ec", script],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )

    if which == "command":
        assert done.stdout.splitlines()[:2] == ["-", "requirepass s3cr3t-of-mine"]
    else:
        assert (tmp_path / "auth").read_text() == "s3cr3t-of-mine\n"


def test_make_secrets_makes_what_compose_names_and_never_overwrites(compose: Any, tmp_path: Path) -> None:
    script = tmp_path / "make-secrets.sh"
    script.write_bytes((ROOT / "docs/deploy/make-secrets.sh").read_bytes())

    for _ in range(2):
        subprocess.run(["/bin/sh", script], check=True, capture_output=True, timeout=20)
        made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
        before = locals().get("before", made)
        assert made == before

    assert set(made) == set(compose["secrets"])
    assert re.fullmatch(r"Bearer [0-9a-f]{64}\n", made["auth0_stream_token"])
    assert re.fullmatch(r"redis://:[0-9a-f]{64}@valkey:6379/0\n", made["redis_url"])
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700


def test_base_images_are_pinned_and_slim() -> None:
    images = {arguments.split()[0] for arguments in arguments_of("FROM")}

    assert len(images) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim", images.pop())


def test_what_is_copied_is_there_and_not_ignored() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [
        source
        for arguments in arguments_of("COPY")
        if not arguments.startswith("--from=")
        for source in shlex.split(arguments)[:-1]
    ]

    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert source.removeprefix("./") in allowed, source


@pytest.mark.parametrize(
    "secret", ["docs/deploy/secrets/redis_url", ".env", ".git/config", "data/appendonly.aof"]
)
def test_nothing_secret_goes_to_the_engine(secret: str) -> None:
    patterns = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")
    ]

    assert patterns[0] == "*"
    assert not any(fnmatch(secret, f"{pattern[1:]}*") for pattern in patterns if pattern.startswith("!"))


def test_packages_are_fetched_with_their_hashes() -> None:
    fetches = [line for line in arguments_of("RUN") if "pip download" in line or "pip install" in line]

    assert any("--require-hashes" in line for line in fetches)
    assert all("--require-hashes" in line or "--no-index" in line for line in fetches)


def test_the_image_runs_as_nobody_in_particular() -> None:
    assert arguments_of("USER") == ["10001:10001"]
    order = [name for name, _ in instructions()]
    assert order.index("USER") < order.index("ENTRYPOINT")
    assert arguments_of("ENTRYPOINT") == ['["tocsin"]']


def test_the_image_says_whether_it_is_alive() -> None:
    (check,) = arguments_of("HEALTHCHECK")

    assert "/-/healthy" in check
    code = yaml.safe_load(check.split("CMD", 1)[1])[2]
    compile(code, "HEALTHCHECK", "exec")


def test_the_image_holds_no_secret() -> None:
    text = "\n".join(arguments for name, arguments in instructions() if name in ("ENV", "ARG"))

    assert not re.search("TOKEN|PASSWORD|SECRET", text)
