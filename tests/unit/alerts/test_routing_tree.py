from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tocsin.alerts.route import routes_of
from tocsin.alerts.routing_file import channels_told, load_routing
from tocsin.errors import ConfigError

SHIPPED = Path(__file__).parents[3] / "alerts" / "routing.yml"
CHANNELS = {"oncall", "mail", "soc", "terminal"}
EXAMPLE = """\
route:
    channels: [soc]
    group_by: [entity]
    group_wait: 10s
    group_interval: 5m
    repeat_interval: 4h
    routes:
        - matchers: ['severity=~"high|critical"']
          channels: [oncall]
          group_wait: 0s
          continue: true
          routes:
              - matchers: [tenant="acme"]
                channels: [mail]
        - matchers: [team=blue]
          repeat_interval: 1d
        - matchers: [team=blue, severity=low]
          channels: []
"""


@pytest.fixture
def written(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "routing.yml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("labels", "channels"),
    [
        ({"severity": "low"}, [("soc",)]),
        ({"severity": "high"}, [("oncall",)]),
        ({"severity": "high", "team": "blue"}, [("oncall",), ("soc",)]),
        ({"severity": "high", "tenant": "acme"}, [("mail",)]),
        ({"severity": "low", "team": "blue"}, [("soc",)]),
        ({}, [("soc",)]),
    ],
)
def test_an_alert_takes_the_first_route_that_fits_and_goes_on_only_where_told(labels, channels, written):
    root = load_routing(written(EXAMPLE), CHANNELS)

    assert [route.channels for route in routes_of(root, labels)] == channels


def test_a_route_inherits_what_it_leaves_out(written):
    root = load_routing(written(EXAMPLE), CHANNELS)

    high, blue, nobody = root.routes
    assert (high.group_by, high.group_wait, high.group_interval) == (
        ("entity",),
        timedelta(0),
        timedelta(minutes=5),
    )
    assert high.routes[0].group_wait == timedelta(0)
    assert high.routes[0].matchers != high.matchers
    assert (blue.channels, blue.repeat_interval) == (("soc",), timedelta(days=1))
    assert nobody.channels == ()


def test_a_route_keeps_its_name_when_others_move(written):
    root = load_routing(written(EXAMPLE), CHANNELS)
    extra = EXAMPLE.replace(
        "    routes:\n        -", "    routes:\n        - {matchers: [a=b]}\n        -", 1
    )

    moved = load_routing(written(extra), CHANNELS)

    assert [route.path for route in moved.routes[1:]] == [route.path for route in root.routes]
    assert root.routes[0].path == '{}/{severity=~"high|critical"}'


def test_a_route_that_names_channels_or_grouping_is_a_conversation_of_its_own(written):
    high, blue, nobody = load_routing(written(EXAMPLE), CHANNELS).routes

    assert (high.group, blue.group, nobody.group) == (high.path, "{}", nobody.path)
    assert high.routes[0].group == high.routes[0].path


def test_two_routes_with_the_same_matchers_have_different_names(written):
    text = EXAMPLE + "        - matchers: [team=blue]\n"

    paths = [route.path for route in load_routing(written(text), CHANNELS).routes]

    assert len(set(paths)) == len(paths)


def test_the_shipped_file_tells_the_terminal_and_groups_by_entity():
    root = load_routing(SHIPPED, {"terminal"})

    (low,) = routes_of(root, {"severity": "low"})
    (users,) = routes_of(root, {"severity": "medium", "entity": "user:eve"})
    assert {route.group for route in [root, *root.routes] if route.channels} == {"{}", users.group, low.group}
    assert users.group_by == ("rule", "tenant")
    assert low.group_by == ("rule", "tenant")
    assert (low.group_wait, low.group_interval) == (timedelta(minutes=15), timedelta(hours=4))
    assert routes_of(root, {"severity": "informational"})[0].channels == ()
    assert root.channels == ("terminal",)
    assert root.group_by == ("entity",)
    for severity in ("high", "critical"):
        (route,) = routes_of(root, {"severity": severity})
        assert (route.group_wait, route.channels, route.group_by) == (
            timedelta(0),
            ("terminal",),
            ("entity",),
        )
    assert routes_of(root, {"severity": "medium"})[0].group_wait == timedelta(seconds=10)


@pytest.mark.parametrize("known", [{"oncall": {}, "mail": {}}, ["oncall", "mail"]], ids=["a map", "a list"])
def test_a_top_route_without_channels_tells_every_one_in_the_settings_order(known, written):
    root = load_routing(written("route: {routes: [{matchers: [a=b]}]}"), known)

    assert root.channels == ("oncall", "mail")
    assert root.routes[0].channels == ("oncall", "mail")


def test_a_set_of_channels_is_told_in_alphabetical_order(written):
    assert load_routing(written("route: {}"), {"soc", "mail", "oncall"}).channels == ("mail", "oncall", "soc")


def test_the_channels_that_some_route_tells_are_known(written):
    assert channels_told(load_routing(written(EXAMPLE), CHANNELS)) == {"soc", "oncall", "mail"}


def test_unknown_channels_are_told_beside_every_other_mistake(written):
    text = EXAMPLE.replace("10s", "10x").replace("[oncall]", "[onacll]").replace("[mail]", "[maul, 3]")

    with pytest.raises(ConfigError) as caught:
        load_routing(written(text), CHANNELS)

    lines = [int(line.split("routing.yml:")[1].split(":")[0]) for line in str(caught.value).splitlines()]
    assert lines == [4, 9, 14, 14]


def test_the_commented_example_in_the_shipped_file_is_right_too(written):
    lines = SHIPPED.read_text(encoding="utf-8").split("\n")
    start = next(number for number, line in enumerate(lines) if "put instead" in line)
    taken = [line for number, line in enumerate(lines) if not (start - 4 < number < start)]
    text = "\n".join(
        line.replace("# - ", "- ").replace("#   ", "  ") if "        #" in line else line for line in taken
    )

    root = load_routing(written(text), CHANNELS)

    channels = [route.channels for route in root.routes]
    every = ("mail", "oncall", "soc", "terminal")
    assert channels == [(), ("oncall", "mail"), ("oncall",), every, every]


@pytest.mark.parametrize(
    ("wrong", "right", "message"),
    [
        (
            "    group_wait: 10s",
            "    group_wiat: 10s",
            ':4: unknown key "group_wiat"; did you mean "group_wait"?',
        ),
        (
            "          continue: true",
            "          contineu: true",
            ':11: unknown key "contineu"; did you mean "continue"?',
        ),
        (
            "          continue: true",
            "          continues: true",
            ':11: unknown key "continues"; did you mean "continue"?',
        ),
        ("group_wait: 10s", "xyz: 10s", ':4: unknown key "xyz"; the keys are channels, continue, group_by'),
        (
            "group_wait: 10s",
            "group_wait: 10",
            ":4: group_wait: 10 is not a duration; write a number and a unit",
        ),
        ("group_wait: 10s", "group_wait: soon", ":4: group_wait: 'soon' is not a duration"),
        ("repeat_interval: 4h", "repeat_interval: 0s", ":6: repeat_interval: must be longer than 0s"),
        ("channels: [oncall]", "channels: [onacll]", ':9: unknown channel "onacll"; did you mean "oncall"?'),
        (
            "channels: [oncall]",
            "channels: [x]",
            "the channels in the settings are mail, oncall, soc, terminal",
        ),
        ("channels: [oncall]", "channels: oncall", ":9: channels: input should be a valid list"),
        ("[team=blue]", "[team]", ":15: matchers: 'team' is not a matcher; write label, operator, value"),
        ("[team=blue]", "['team=~\"(\"']", ":15: matchers: 'team=~\"(\"': the regular expression is wrong"),
        (
            "    channels: [soc]\n",
            "    channels: [soc]\n    matchers: [a=b]\n",
            ":3: the top route takes every alert",
        ),
        ("    group_wait: 10s", "    group_by: [a]", ':4: "group_by" is written twice; keep one'),
        ("route:", "rout:", ':1: unknown key "rout"; did you mean "route"?'),
        ("route:", "inhibit_rules: []\nroute:", ':1: unknown key "inhibit_rules"; the keys are route'),
        ("[soc]", "[soc", ":3: not YAML: "),
        ("[soc]", "&a [soc]\n    group_by: *a", ":3: aliases (*name) are not read here"),
        ("[soc]", "!!python/object/apply:os.system [id]", ":2: tags (!name) are not read here"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_the_way_out(wrong, right, message, written):
    assert wrong in EXAMPLE
    path = written(EXAMPLE.replace(wrong, right, 1))

    with pytest.raises(ConfigError) as caught:
        load_routing(path, CHANNELS)

    assert f"{path}:" in str(caught.value)
    assert message in str(caught.value)


def test_all_mistakes_are_told_at_once_in_file_order(written):
    text = EXAMPLE.replace("10s", "10x").replace("continue", "contineu").replace("[team=blue]", "[team]")

    with pytest.raises(ConfigError) as caught:
        load_routing(written(text), CHANNELS)

    lines = [int(line.split("routing.yml:")[1].split(":")[0]) for line in str(caught.value).splitlines()]
    assert lines == [4, 11, 15]


@pytest.mark.parametrize(
    "text", ["", "[]", "a", "route:", "route: []", "\x00", "[" * 5000, "é\udcff", "? [a]\n: b", "2026-99-99"]
)
def test_what_is_no_routing_file_at_all_is_told_as_a_mistake(text, tmp_path):
    path = tmp_path / "routing.yml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))

    with pytest.raises(ConfigError, match=r"routing\.yml"):
        load_routing(path, CHANNELS)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_routing(tmp_path / "none.yml", CHANNELS)
