"""What the guard judges before anything is dialled: addresses, URLs, header fields."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import EgressError
from trunkline.transport import dial
from trunkline.transport.addresses import Allowed, permitted
from trunkline.transport.headers import checked
from trunkline.transport.target import MAX_URL_CHARS, Target

NOBODY = Allowed()


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.1",
        "100.100.100.200",  # metadata: Alibaba
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.255",
        "168.63.129.16",  # Azure's wire server
        "169.254.0.1",
        "169.254.169.254",  # metadata: most
        "169.254.170.2",  # credentials of AWS containers
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.0.192",  # metadata: Oracle
        "192.0.2.1",
        "192.31.196.1",
        "192.52.193.1",
        "192.88.99.1",
        "192.168.0.1",
        "192.175.48.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::2",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0:127.0.0.1",  # SIIT
        "::ffff:0:8.8.8.8",
        "64:ff9b::127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b::168.63.129.16",
        "64:ff9b:1::8.8.8.8",
        "64:ff9b:1:ffff:ffff:ffff:127.0.0.1",
        "100::1",
        "100:0:0:1::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",  # Teredo
        "2001:0:808:808::f7f7:f7f7",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "2002:808:808::1",
        "2620:4f:8000::1",
        "3fff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",  # metadata: AWS
        "fd20:ce::254",  # metadata: Google
        "fe80::1",
        "fe80::1%eth0",
        "2606:4700::1111%eth0",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
        "localhost",
        "127.1",
        "0177.0.0.1",
        "2130706433",
        "",
    ],
)
def test_what_is_not_public_is_not_permitted(address):
    assert not permitted(address, NOBODY)


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.1",
        "168.63.129.15",
        "172.15.255.255",
        "172.32.0.1",
        "192.0.1.1",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2606:4700::1111",
        "2a00:1450:4001:81b::200e",
        "3ffe::1",
    ],
)
def test_what_is_public_is_permitted(address):
    assert permitted(address, NOBODY)


@given(st.ip_addresses())
def test_nothing_is_permitted_that_python_knows_to_be_private(address):
    if permitted(str(address), NOBODY):
        assert address.is_global
        assert not address.is_multicast


@given(st.ip_addresses(v=4))
def test_an_address_inside_of_another_is_judged_as_by_itself(address):
    by_itself = permitted(str(address), NOBODY)
    assert permitted(f"::ffff:{address}", NOBODY) == by_itself
    assert permitted(f"64:ff9b::{address}", NOBODY) == by_itself


@pytest.mark.parametrize(
    ("allow", "address"),
    [
        (["10.0.0.0/8"], "10.1.2.3"),
        (["10.0.0.0/8"], "::ffff:10.1.2.3"),
        (["127.0.0.1"], "127.0.0.1"),
        (["::1"], "::1"),
        (["fd00::/8"], "fd12::1"),
        (["168.63.129.16"], "168.63.129.16"),
        (["2002::/16"], "2002:808:808::1"),
    ],
)
def test_what_is_listed_is_permitted(allow, address):
    assert permitted(address, Allowed(allow))


@pytest.mark.parametrize(
    ("allow", "address"),
    [
        (["10.0.0.0/8"], "11.0.0.0/8"),
        (["10.0.0.0/8"], "127.0.0.1"),
        (["10.0.0.0/8"], "fd12::1"),
        (["2002::/16"], "2002:7f00:1::1"),  # and what is inside is not listed
        (["2001::/32"], "2001:0:7f00:1::1"),
        (["::ffff:0:0/96"], "::ffff:127.0.0.1"),
    ],
)
def test_what_is_not_listed_is_not_permitted(allow, address):
    assert not permitted(address, Allowed(allow))


def test_an_address_of_this_machine_is_known_without_a_packet():
    assert dial.own("127.0.0.1")
    assert not dial.own("192.0.2.1")


# ------------------------------------------------------------------------------------------- URLs


@pytest.mark.parametrize(
    ("url", "spelled"),
    [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://EXAMPLE.com:443/A", "https://example.com/A"),
        ("https://example.com./a", "https://example.com/a"),
        ("https://example.com:/a", "https://example.com/a"),
        ("http://example.com:80/a", "http://example.com/a"),
        ("https://example.com:8443?x=1", "https://example.com:8443/?x=1"),
        ("https://example.com/a?x=/../b#part", "https://example.com/a?x=/../b"),
        ("https://my_host/a%20b", "https://my_host/a%20b"),
        ("https://münchen.example/ü?ß", "https://xn--mnchen-3ya.example/%C3%BC?%C3%9F"),
        ("https://例え。テスト/", "https://xn--r8jz45g.xn--zckzah/"),
        ("https://xn--mnchen-3ya.example/", "https://xn--mnchen-3ya.example/"),
        ("https://8.8.8.8/", "https://8.8.8.8/"),
        ("https://[2606:4700:0:0::1111]:8443/", "https://[2606:4700::1111]:8443/"),
        ("https://[2606:4700::1111]/", "https://[2606:4700::1111]/"),
        ("https://[::FFFF:8.8.8.8]/", "https://[::ffff:808:808]/"),
        ("https://1.2.3.4.example/", "https://1.2.3.4.example/"),
        ('https://example.com/{a}|"b"<c>^`', "https://example.com/%7Ba%7D%7C%22b%22%3Cc%3E%5E%60"),
        ("https://example.com/@me", "https://example.com/@me"),
    ],
)
def test_a_url_has_one_spelling(url, spelled):
    assert str(Target.parse(url)) == spelled
    assert str(Target.parse(spelled)) == spelled


@pytest.mark.parametrize(
    "port", ["0", "1", "22", "25", "81", "1023", "2049", "5060", "6000", "6667", "65536", "99999"]
)
def test_ports_of_other_protocols_are_refused(port):
    with pytest.raises(EgressError, match="port"):
        Target.parse(f"https://example.com:{port}/")


@pytest.mark.parametrize(
    "port", ["-1", "+443", " 443", "0x1bb", "443 ", "٤٤٣", "4e2", "0000443", "443:"]
)
def test_ports_that_are_no_numbers_are_refused(port):
    with pytest.raises(EgressError):
        Target.parse(f"https://example.com:{port}/")


def test_a_url_may_be_as_long_as_a_request_line():
    Target.parse("https://example.com/".ljust(MAX_URL_CHARS, "a"))
    with pytest.raises(EgressError, match="longer than 8192"):
        Target.parse("https://example.com/".ljust(MAX_URL_CHARS + 1, "a"))


@pytest.mark.parametrize(
    "label", ["a" * 64, "a." * 127 + "aa", "a..b", "-a", "a-", "*", "a,b", "a$b"]
)
def test_names_that_dns_does_not_know_are_refused(label):
    with pytest.raises(EgressError, match="no valid host"):
        Target.parse(f"https://{label}/")


_PIECES = st.sampled_from(
    [
        "https",
        "http",
        ":",
        "//",
        "/",
        "\\",
        "@",
        "#",
        "?",
        "[",
        "]",
        "%",
        "%2e",
        "%00",
        ".",
        "。",
        "127.0.0.1",
        "127.1",
        "0x7f",
        "0177",
        "::1",
        "::ffff:7f00:1",
        "localhost",
        "example.com",
        "x",
        "443",
        "80",
        "8080",
        "ß",
        "é",
        "①",
        "１",
        "\t",
        "\n",
        " ",
        "\u00ad",
        "\u202e",
        "\ud800",
    ]
)


@given(st.lists(_PIECES, max_size=12).map("".join) | st.text(max_size=40))
def test_whatever_is_taken_is_spelled_so_that_every_parser_agrees(text):
    for url in (text, f"https://{text}"):
        try:
            target = Target.parse(url)
        except EgressError as error:
            if error.reason == "url":
                continue
            raise
        spelled = str(target)
        assert spelled.isascii()
        assert spelled.isprintable()
        assert " " not in spelled
        assert Target.parse(spelled).origin == target.origin
        assert _agreed(spelled) == (target.origin.host, target.origin.port)


def _agreed(url):
    from urllib.parse import urlsplit

    import httpx2  # noqa: TID251  # a second opinion
    from yarl import URL

    split, yarl, httpx = urlsplit(url), URL(url, encoded=True), httpx2.URL(url)
    port = split.port or (443 if split.scheme == "https" else 80)
    assert split.hostname == yarl.raw_host == httpx.raw_host.decode()
    assert (yarl.port, httpx.port or (443 if split.scheme == "https" else 80)) == (port, port)
    return split.hostname, port


# -------------------------------------------------------------------------------- header fields


@pytest.mark.parametrize(
    "name",
    re.split(
        r"\s+",
        """Host host Content-Length content-type Content-Encoding Transfer-Encoding TE Connection
        Keep-Alive Trailer Upgrade Expect Proxy-Authorization Proxy-Connection Accept
        Accept-Encoding Mcp-Session-Id mcp-protocol-version Last-Event-ID Cookie Forwarded
        X-Forwarded-For X-Real-IP Via Sec-Fetch-Site""",
    ),
)
def test_headers_that_are_not_the_callers_are_refused(name):
    with pytest.raises(EgressError, match="set by the router") as caught:
        checked({name: "x"})
    assert caught.value.reason == "header"


@pytest.mark.parametrize(
    "headers",
    [
        {"": "x"},
        {"X A": "x"},
        {"X-A:": "x"},
        {"X-A\r\nHost": "x"},
        {"X-Ä": "x"},
        {"X-A": "x\r\nHost: y"},
        {"X-A": "x\ny"},
        {"X-A": "x\0"},
        {"X-A": "\tx"},
        {"X-A": "x "},
        {"X-A": ""},
        {"X-A": "ä"},
        {"X-A": "secret-3f9a\x7f"},
        {"X-A": "x" * 8193},
        {"X-A": "1", "x-a": "2"},
        {f"X-{n}": "x" for n in range(33)},
        {f"X-{n}": "x" * 8000 for n in range(5)},
    ],
)
def test_headers_that_cannot_be_sent_as_they_are_are_refused(headers):
    with pytest.raises(EgressError) as caught:
        checked(headers)
    assert caught.value.reason == "header"
    assert "secret" not in caught.value.message


def test_a_callers_own_headers_are_taken():
    headers = {"Authorization": "Bearer a b", "X-Team": "a", "User-Agent": "mine/1"}
    assert checked(headers) == headers


# ---------------------------------------------------------------------------------------- lookups


def test_lookups_that_never_end_hold_up_no_thread_of_the_loop(monkeypatch):
    """A caller can make names whose servers do not answer; the system waits long for those."""
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: release.wait(20) and [])

    async def run():
        lookups = dial.Lookups()
        hanging = [asyncio.create_task(lookups("a.example", 443)) for _ in range(40)]  # noqa: TID251
        try:
            async with asyncio.timeout(10):
                assert await asyncio.to_thread(lambda: "free") == "free"
            assert sum(each.name == "egress-lookup" for each in threading.enumerate()) <= 16
        finally:
            release.set()
        assert await asyncio.gather(*hanging) == [[]] * 40

    asyncio.run(run())


def test_a_lookup_finds_the_addresses_of_a_name():
    async def run():
        return await dial.Lookups()("localhost", 443)

    found = asyncio.run(run())
    assert found
    assert all(ipaddress.ip_address(address).is_loopback for address in found)


def test_a_lookup_of_a_name_that_nobody_has_fails(monkeypatch):
    def nobody(*_args, **_options):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)

    async def run():
        await dial.Lookups()("a.example", 443)

    with pytest.raises(socket.gaierror):
        asyncio.run(run())
