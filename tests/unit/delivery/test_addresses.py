"""Which addresses are public."""

from ipaddress import ip_address, ip_network

import pytest

from tocsin.delivery.addresses import checked_addresses, is_public, literal
from tocsin.errors import PermanentFailure, TemporaryFailure


@pytest.mark.parametrize(
    "text", ["93.184.216.34", "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"]
)
def test_an_ordinary_address_is_public(text):
    assert is_public(ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.127.255.255", "127.0.0.1", "169.254.169.254", "172.31.0.1",
        "192.0.0.8", "192.0.0.192", "192.0.2.1", "192.168.0.1", "198.18.0.1", "224.0.0.1", "239.1.1.1",
        "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::10.0.0.1",
        "64:ff9b:1::1", "2001:0:1::1", "2002:a00:1::1", "2001:db8::1", "fc00::1", "fd00:ec2::254", "fe80::1",
        "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1",
    ],
)  # fmt: skip
def test_every_other_kind_is_not(text):
    assert not is_public(ip_address(text))


@pytest.mark.parametrize(
    ("addresses", "cidr"),
    [(["127.0.0.1"], "127.0.0.0/8"), (["::ffff:7f00:1"], "127.0.0.0/8"), (["::1"], "::1/128"),
     (["10.0.0.1", "1.1.1.1"], "10.0.0.0/8")],
)  # fmt: skip
def test_what_the_operator_allows_is_allowed(addresses, cidr):
    allowed = [ip_network(cidr)]

    assert checked_addresses("h", 443, allowed=allowed, resolve=lambda *_: addresses) == addresses


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["1.1.1.1", "10.0.0.1"], ["10.0.0.1", "127.0.0.1"]])
def test_one_address_that_is_not_allowed_refuses_all(addresses):
    with pytest.raises(PermanentFailure, match=r"10\.0\.0\.1.*allow_private_cidrs"):
        checked_addresses("h", 443, allowed=[ip_network("127.0.0.0/8")], resolve=lambda *_: addresses)


@pytest.mark.parametrize("addresses", [[], ["not an address"]])
def test_no_address_at_all_is_temporary(addresses):
    with pytest.raises(TemporaryFailure):
        checked_addresses("h", 443, allowed=[], resolve=lambda *_: addresses)


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "127.0.0.1"), ("0", "0.0.0.0"), ("2130706433", "127.0.0.1"), ("0177.1", "127.0.0.1"),
     ("0x7f.0.0.1", "127.0.0.1"), ("::1", "::1"), ("[::1]", "::1"), ("hooks.slack.com", None), ("a1", None),
     ("é", None), ("", None)],
)  # fmt: skip
def test_a_host_that_spells_an_address_is_known_as_one(host, address):
    assert literal(host) == address
