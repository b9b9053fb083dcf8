"""The guard over real sockets: what it never connects to, and what it takes from those it does."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import ssl
import subprocess
import sys
import traceback
import tracemalloc
from contextlib import asynccontextmanager, contextmanager

import httpx2  # noqa: TID251  # what the guard lends is one of its clients
import pytest

from tests.tls import self_signed, server_side
from trunkline.errors import EgressError
from trunkline.transport import dial
from trunkline.transport.dial import Deadlines
from trunkline.transport.exchange import Bounds
from trunkline.transport.guard import Fetched, Guard

SECRET = "peer-secret-5b1f"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64
ANY = ["image/*"]
OURS = "127.0.0.1"
ELSEWHERE = "127.0.0.2"  # of this machine as well, and listed by nobody


@contextmanager
def canary():
    """Listens where nobody may connect to, and fails if somebody did."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(socket.create_server((ELSEWHERE, 0)))
        port = first.getsockname()[1]
        listeners = [first]
        for host, family in ((OURS, socket.AF_INET), ("::1", socket.AF_INET6)):
            with contextlib.suppress(OSError):
                listeners.append(
                    stack.enter_context(socket.create_server((host, port), family=family))
                )
        yield port
        for listener in listeners:
            listener.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                listener.accept()[0].close()
                pytest.fail("the canary was reached")


class Resolver:
    """Gives these answers in turn, and the last one for good; ``asked`` are the names."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host, port):
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Peer:
    """Answers each request with the next of its answers, and the last one for good.

    An answer is bytes, or a coroutine function that writes what it likes.
    """

    def __init__(self, *answers):
        self.answers = list(answers)
        self.heads: list[str] = []
        self.names: list[str | None] = []
        self.connections = 0
        self.port = 0

    async def serve(self, reader, writer):
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
                await reader.readexactly(int(length or 0))
                self.heads.append(head.decode())
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                else:
                    await answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening(*answers, tls=None):
    peer = Peer(*answers)
    server = await asyncio.start_server(peer.serve, OURS, 0, ssl=tls)
    async with server:
        peer.port = server.sockets[0].getsockname()[1]
        yield peer


def answer(body=PNG, *, status="200 OK", kind="image/png", **fields):
    lines = [f"HTTP/1.1 {status}"]
    if kind:
        lines.append(f"Content-Type: {kind}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def redirect(location, status="302 Found"):
    return answer(b"", status=status, kind="", Location=location)


def fetch(url, *, guard=None, max_bytes=1 << 20, accept=ANY, deadlines=None, **options):
    async def run():
        async with guard or Guard(**options) as opened:
            extra = {} if deadlines is None else {"deadlines": deadlines}
            return await opened.fetch(url, max_bytes=max_bytes, accept=accept, **extra)

    return asyncio.run(run())


def fetched(*answers, path="/a.png", tls=None, scheme="http", host=OURS, options=None, **request):
    """Fetches from a peer on loopback, which is listed, and returns what came and the peer."""

    async def run():
        async with (
            listening(*answers, tls=tls) as peer,
            Guard(**{"allow": [f"{OURS}/32"], **(options or {})}) as guard,
        ):
            url = f"{scheme}://{host}:{peer.port}{path.replace('PORT', str(peer.port))}"
            wanted = {"max_bytes": 1 << 20, "accept": ANY, **request}
            try:
                return await guard.fetch(url, **wanted), peer
            except EgressError as error:
                return error, peer

    return asyncio.run(run())


def refusal(*answers, **request):
    error, peer = fetched(*answers, **request)
    assert isinstance(error, EgressError), error
    told = "".join(traceback.format_exception(error))
    assert SECRET not in told
    return error, peer


# --------------------------------------------------------------------------- where nobody gets to

SPELLINGS = [
    # IPv4 in the spellings of inet_aton and of URLs
    "https://127.0.0.1:{port}/",
    "https://127.0.0.2:{port}/",
    "http://127.0.0.1:{port}/",
    "HTTP://127.0.0.1:{port}/",
    "https://127.1:{port}/",
    "https://127.0.1:{port}/",
    "https://2130706433:{port}/",
    "https://0x7f000001:{port}/",
    "https://0x7f.0.0.1:{port}/",
    "https://0x7f.1:{port}/",
    "https://0X7F.0X0.0X0.0X1:{port}/",
    "https://0177.0.0.1:{port}/",
    "https://017700000001:{port}/",
    "https://0000000177.0.0.01:{port}/",
    "https://127.0x0.00.1:{port}/",
    "https://127.0.0.1.:{port}/",
    "https://127.0.0.1..:{port}/",
    "https://127.00.0.1:{port}/",
    "https://127.0.0.256:{port}/",
    "https://127.0.0.0x:{port}/",
    "https://0:{port}/",
    "https://0.0.0.0:{port}/",
    "https://%31%32%37.0.0.1:{port}/",
    "https://127.0.0.1%00.example.com:{port}/",
    "https://127.0.0.1%2f.example.com:{port}/",
    # IPv6, and IPv4 inside of it
    "https://[::1]:{port}/",
    "https://[0:0:0:0:0:0:0:1]:{port}/",
    "https://[0000:0000:0000:0000:0000:0000:0000:0001]:{port}/",
    "https://[::]:{port}/",
    "https://[::ffff:127.0.0.1]:{port}/",
    "https://[::ffff:7f00:1]:{port}/",
    "https://[0:0:0:0:0:ffff:127.0.0.1]:{port}/",
    "https://[::127.0.0.1]:{port}/",
    "https://[64:ff9b::127.0.0.1]:{port}/",
    "https://[64:ff9b::7f00:1]:{port}/",
    "https://[64:ff9b:1::7f00:1]:{port}/",
    "https://[2002:7f00:1::]:{port}/",
    "https://[2001:0:7f00:1::1]:{port}/",
    "https://[fe80::1]:{port}/",
    "https://[fe80::1%25lo]:{port}/",
    "https://[fe80::1%lo]:{port}/",
    "https://[::1%25lo]:{port}/",
    "https://[fec0::1]:{port}/",
    "https://[fd00:ec2::254]:{port}/",
    "https://[ff02::1]:{port}/",
    "https://[127.0.0.1]:{port}/",
    "https://[::1:{port}/",
    "https://::1:{port}/",
    "https://[::1]]:{port}/",
    "https://[v1.127.0.0.1]:{port}/",
    # other digits, dots and letters
    "https://①②⑦.⓪.⓪.①:{port}/",
    "https://１２７.０.０.１:{port}/",
    "https://127。0。0。1:{port}/",
    "https://127．0．0．1:{port}/",
    "https://٠x7f.1:{port}/",
    "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:{port}/",
    "https://loc\u00adalhost:{port}/",
    # names
    "https://localhost:{port}/",
    "https://LOCALHOST:{port}/",
    "https://localhost.:{port}/",
    "https://localhost..:{port}/",
    "https://-localhost:{port}/",
    "https://.localhost:{port}/",
    # whose host is it
    "https://user@127.0.0.1:{port}/",
    "https://user:password@127.0.0.1:{port}/",
    "https://example.com@127.0.0.1:{port}/",
    "https://example.com:443@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}@example.com/",
    "https://example.com%40127.0.0.1:{port}/",
    "https://127.0.0.1:{port}\\@example.com/",
    "https://example.com\\@127.0.0.1:{port}/",
    "https:\\\\127.0.0.1:{port}\\",
    "https://127.0.0.1:{port}:443/",
    "https://127.0.0.1 .example.com:{port}/",
    "https://127.0.0.1\t:{port}/",
    "https://127.0.0.1:{port}\r\nHost: example.com/",
    "https://127.0.0.1:{port}/\r\nX: y",
    "https://127.0.0.1:{port}/\0",
    "https://127.0.0.1:{port}/ HTTP/1.1",
    "https://\u2028127.0.0.1:{port}/",
    # which scheme, and how the host begins
    "https:/127.0.0.1:{port}/",
    "https:127.0.0.1:{port}/",
    "https:///127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "127.0.0.1:{port}/",
    " https://127.0.0.1:{port}/",
    "ht\ntps://127.0.0.1:{port}/",
    "https://#@127.0.0.1:{port}/",
    "https://?@127.0.0.1:{port}/",
    "https://",
    "",
    "file:///etc/passwd",
    "file://127.0.0.1:{port}/",
    "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_GET",
    "dict://127.0.0.1:{port}/",
    "ws://127.0.0.1:{port}/",
    "jar:https://127.0.0.1:{port}/!/",
    "javascript:fetch('https://127.0.0.1:{port}/')",
    "data:text/html,<img src=https://127.0.0.1:{port}/>",
    "unix:///run/docker.sock",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_leads_to_this_machine(spelling):
    with canary() as port, pytest.raises(EgressError) as caught:
        fetch(spelling.format(port=port))
    assert caught.value.reason in ("url", "refused")


def test_the_canary_tells_if_it_is_reached():
    def reached():
        with canary() as port, contextlib.suppress(EgressError):
            fetch(f"http://{OURS}:{port}/", allow=[OURS], deadlines=Deadlines(first_byte_s=0.05))

    with pytest.raises(pytest.fail.Exception, match="the canary was reached"):
        reached()


@pytest.mark.parametrize(
    "addresses",
    [
        [OURS],
        [ELSEWHERE],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["0.0.0.0"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["168.63.129.16"],
        ["192.0.0.192"],
        ["100.100.100.200"],
        ["fd00:ec2::254"],
        ["fe80::1%lo"],
        ["nonsense"],
        [],
        ["8.8.8.8", OURS],
        [OURS, "8.8.8.8"],
        ["2606:4700::1111", "::1"],
        ["8.8.8.8", "8.8.4.4", "1.1.1.1", "9.9.9.9", "10.0.0.1"],
    ],
    ids=" ".join,
)
def test_no_name_leads_to_an_address_that_is_not_public(addresses):
    with canary() as port, pytest.raises(EgressError, match="no public address") as caught:
        fetch(f"https://a.example:{port}/", resolve=Resolver(addresses))
    assert caught.value.reason == "refused"
    assert not any(address in caught.value.message for address in addresses)


def test_a_name_without_an_address_is_told_like_one_with_a_private_address():
    """Or the difference would tell which names a private network knows."""
    messages = set()
    for answered in (socket.gaierror(-2, "Name or service not known"), [], ["10.0.0.1"]):
        with pytest.raises(EgressError) as caught:
            fetch("https://db.internal/", resolve=Resolver(answered))
        messages.add(caught.value.message)
    assert len(messages) == 1


def test_a_name_is_resolved_once_and_what_was_judged_is_dialled():
    """A second look would give it the chance to answer something else."""
    resolve = Resolver([OURS], [ELSEWHERE])
    found, peer = fetched(answer(), host="a.example", options={"resolve": resolve})
    assert found == Fetched(PNG, "image/png")
    assert resolve.asked == ["a.example"]
    assert f"\r\nHost: a.example:{peer.port}\r\n" in peer.heads[0]


def test_a_name_that_changes_its_address_gets_nobody_further():
    resolve = Resolver([OURS], [ELSEWHERE])
    error, peer = refusal(redirect("/b.png"), host="a.example", options={"resolve": resolve})
    assert error.reason == "refused"
    assert len(peer.heads) == 1
    assert resolve.asked == ["a.example", "a.example"]


def test_an_address_of_this_machine_is_refused_even_if_it_is_public(monkeypatch):
    """Its firewall stands outside; a connection from here would go round it."""
    monkeypatch.setattr(dial, "permitted", lambda _address, _allowed: True)
    with canary() as port, pytest.raises(EgressError, match="no public address"):
        fetch(f"https://a.example:{port}/", resolve=Resolver([OURS]))


def test_http_is_only_for_what_is_listed():
    with canary() as port:
        for url in (f"http://8.8.8.8:{port}/", f"http://a.example:{port}/"):
            with pytest.raises(EgressError, match="'https://'") as caught:
                fetch(url, resolve=Resolver(["8.8.8.8"]), allow=["10.0.0.0/8"])
            assert caught.value.reason == "refused"


@pytest.mark.parametrize(
    "allow", [["127.0.0.0/8"], [OURS], ["a.example"], ["a.example."], ["::/0", "0.0.0.0/0"]]
)
def test_what_the_operator_lists_is_reached_over_http_too(allow):
    options = {"allow": allow, "resolve": Resolver([OURS])}
    found, _peer = fetched(answer(), host="A.Example", options=options)
    assert found == Fetched(PNG, "image/png")


def test_a_listed_address_is_also_reached_by_its_mapped_spelling():
    found, _peer = fetched(answer(), host="[::ffff:127.0.0.1]")
    assert found == Fetched(PNG, "image/png")


@pytest.mark.parametrize("allow", [["example"], ["b.example"], ["127.0.0.2"], ["126.0.0.0/8"]])
def test_a_listed_name_or_network_allows_nothing_beside_it(allow):
    with canary() as port, pytest.raises(EgressError, match="no public address"):
        fetch(f"http://a.example:{port}/", allow=allow, resolve=Resolver([OURS]))


def test_proxies_of_the_environment_are_not_used(monkeypatch):
    with canary() as port:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://{ELSEWHERE}:{port}")
        found, _peer = fetched(answer())
        assert found == Fetched(PNG, "image/png")
        response, _peer = lent(answer())
        assert response.status_code == 200


# ------------------------------------------------------------------------------------- redirects


def test_a_redirect_within_the_origin_is_followed():
    found, peer = fetched(redirect("/b/../c.png?x=1#top", "307 Temporary Redirect"), answer())
    assert found == Fetched(PNG, "image/png")
    assert [head.split()[1] for head in peer.heads] == ["/a.png", "/c.png?x=1"]


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.2:PORT/" + SECRET,
        "http://169.254.169.254/latest/" + SECRET,
        "http://localhost:PORT/" + SECRET,
        "https://127.0.0.1:PORT/" + SECRET,
        "http://127.0.0.1:1/" + SECRET,
        "http://127.0.0.1/" + SECRET,
        "//127.0.0.2:PORT/" + SECRET,
        "http://user@127.0.0.1:PORT/" + SECRET,
        "http://127.0.0.1:PORT@127.0.0.2/" + SECRET,
        "\\\\127.0.0.2\\" + SECRET,
        "file:///etc/" + SECRET,
        "data:image/png;base64," + SECRET,
        "http://[::1" + SECRET,
        "/" + SECRET + "\x7f",
    ],
)
def test_a_redirect_elsewhere_is_not_followed(location):
    async def moved(writer):
        port = writer.get_extra_info("sockname")[1]
        writer.write(redirect(location.replace("PORT", str(port))))

    error, peer = refusal(moved)
    assert error.reason in ("redirect", "protocol")
    assert len(peer.heads) == 1


def test_a_redirect_from_https_to_http_is_not_followed(tmp_path):
    async def moved(writer):
        writer.write(redirect(f"http://127.0.0.1:{writer.get_extra_info('sockname')[1]}/"))

    file = self_signed(tmp_path, OURS)
    options = {"tls": ssl.create_default_context(cafile=file)}
    error, peer = refusal(moved, tls=server_side(file), scheme="https", options=options)
    assert error.reason == "redirect"
    assert peer.connections == 1


def test_a_loop_of_redirects_ends():
    error, peer = refusal(redirect("/a.png"))
    assert (error.reason, error.message) == ("redirect", "the server redirects more than 3 times")
    assert len(peer.heads) == 4


# ------------------------------------------------------------------------------------------- TLS


def test_tls_is_spoken_in_the_name_of_the_url(tmp_path):
    file = self_signed(tmp_path, "a.example")
    named = []
    server = server_side(file)
    server.sni_callback = lambda _socket, name, _context: named.append(name)
    options = {"tls": ssl.create_default_context(cafile=file), "resolve": Resolver([OURS])}
    found, peer = fetched(answer(), host="A.example.", scheme="https", tls=server, options=options)
    assert found == Fetched(PNG, "image/png")
    assert named == ["a.example"]
    assert f"\r\nHost: a.example:{peer.port}\r\n" in peer.heads[0]


@pytest.mark.parametrize(
    ("host", "days", "trusted"),
    [("a.example", 1, False), ("a.example", -1, True), ("b.example", 1, True), (OURS, 1, True)],
    ids=["unknown", "expired", "other-name", "address"],
)
def test_a_certificate_that_cannot_be_trusted_ends_it(tmp_path, host, days, trusted):
    file = self_signed(tmp_path, host, days=days)
    options: dict[str, object] = {"resolve": Resolver([OURS])}
    if trusted:
        options["tls"] = ssl.create_default_context(cafile=file)
    error, peer = refusal(
        answer(), host="a.example", scheme="https", tls=server_side(file), options=options
    )
    assert error.reason == "unreachable"
    assert "certificate" in error.message
    assert peer.heads == []


def test_what_does_not_speak_tls_is_told_so():
    async def plain(reader, writer):
        await reader.read(1)
        writer.write(answer(SECRET.encode()))
        writer.close()

    async def run():
        async with (
            await asyncio.start_server(plain, OURS, 0) as server,
            Guard(allow=[OURS]) as guard,
        ):
            port = server.sockets[0].getsockname()[1]
            await guard.fetch(f"https://{OURS}:{port}/", max_bytes=1000, accept=ANY)

    with pytest.raises(EgressError) as caught:
        asyncio.run(run())
    assert caught.value.reason == "unreachable"
    assert caught.value.message == "the server cannot be reached over TLS"
    assert SECRET not in "".join(traceback.format_exception(caught.value))


# -------------------------------------------------------------------------- what a request says


def test_a_request_says_what_it_must_and_no_more():
    _found, peer = fetched(answer(), path="/ä b.png".replace(" ", "%20"), accept=["image/png"])
    head = peer.heads[0].split("\r\n")
    assert head[0] == "GET /%C3%A4%20b.png HTTP/1.1"
    assert [line.partition(":")[0] for line in head[1:-2]] == [
        "Host",
        "User-Agent",
        "Accept",
        "Accept-Encoding",
    ]
    assert "Accept: image/png" in head
    assert "Accept-Encoding: identity" in head


# ------------------------------------------------------------------------- what is not taken


def test_a_body_that_says_it_is_too_long_is_not_read():
    error, _peer = refusal(answer(b"x" * 1001), max_bytes=1000)
    assert (error.reason, error.message) == ("size", "the server sends more than 1000 bytes")
    found, _peer = fetched(answer(b"x" * 1000), max_bytes=1000)
    assert found == Fetched(b"x" * 1000, "image/png")


@pytest.mark.parametrize("chunk", [b"x" * 65_536, b"x"], ids=["large", "of-one-byte"])
def test_a_body_without_end_is_cut_off_and_costs_little(chunk):
    sent = 0

    async def endless(writer):
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"%x\r\n%b\r\n" % (len(chunk), chunk) * (65_536 // len(chunk))
        while True:
            sent += len(piece)
            writer.write(piece)
            await writer.drain()

    tracemalloc.start()
    try:
        error, _peer = refusal(endless, max_bytes=1 << 18)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (error.reason, error.message) == ("size", "the server sends more than 262144 bytes")
    assert peak < 40 << 20


def test_a_head_without_end_is_cut_off():
    async def endless(writer):
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-A: " + SECRET.encode() * 100 + b"\r\n")
            await writer.drain()

    error, _peer = refusal(endless)
    assert error.reason == "protocol"


def test_a_head_of_one_huge_field_is_refused():
    error, _peer = refusal(answer(X_A=SECRET * 10_000))
    assert error.reason == "protocol"


def test_interim_answers_without_end_are_cut_off():
    async def endless(writer):
        while True:
            writer.write(b"HTTP/1.1 100 Continue\r\nX-A: " + SECRET.encode() + b"\r\n\r\n")
            await writer.drain()

    error, _peer = refusal(endless)
    assert error.reason == "protocol"


@pytest.mark.parametrize(
    "coding", ["gzip", "GZIP", "deflate", "br", "zstd", "identity, gzip", "gzip, identity", SECRET]
)
def test_compressed_bodies_are_refused_as_they_were_not_asked_for(coding):
    bomb = gzip.compress(b"\0" * (8 << 20))
    error, _peer = refusal(answer(bomb, Content_Encoding=coding))
    assert error.reason == "protocol"
    assert "compresses" in error.message


def test_a_transfer_coding_other_than_chunked_is_refused():
    bomb = gzip.compress(b"\0" * (1 << 20))
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nConnection: close\r\n\r\n"

    async def bombing(writer):
        writer.write(head + bomb)
        writer.close()

    found, _peer = fetched(bombing)
    assert isinstance(found, EgressError) or found.body == bomb  # never unpacked


async def silent(writer):
    await asyncio.sleep(20)


async def drip(writer):
    for byte in answer(b"x" * 5000):
        writer.write(bytes([byte]))
        await asyncio.sleep(0.02)


async def drip_body(writer):
    writer.write(
        answer(b"")[:-5].replace(b"Content-Length: ", b"Content-Length: 9999") + b"\r\n\r\n"
    )
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.02)


async def stalled_body(writer):
    writer.write(answer(b"x" * 500)[:-100])
    await asyncio.sleep(20)


@pytest.mark.parametrize(
    ("behaviour", "deadlines", "says"),
    [
        (silent, Deadlines(first_byte_s=0.5), "the server did not answer in time"),
        (drip, Deadlines(first_byte_s=0.5), "the server did not answer in time"),
        (stalled_body, Deadlines(idle_s=0.2), "the server sent nothing for 0.2 s"),
        (drip_body, Deadlines(total_s=0.8), "the server took longer than 0.8 s"),
    ],
)
def test_slowness_at_every_stage_has_its_end(behaviour, deadlines, says):
    error, _peer = refusal(behaviour, deadlines=deadlines)
    assert (error.reason, error.message) == ("timeout", says)


def test_a_name_that_takes_too_long_has_its_end():
    async def never(host, port):
        await asyncio.sleep(20)

    deadlines = Deadlines(resolve_s=0.2)
    options = {"resolve": never}
    error, peer = refusal(answer(), host="a.example", options=options, deadlines=deadlines)
    assert error.reason == "timeout"
    assert error.message == "the name of the host was not resolved within 0.2 s"
    assert peer.connections == 0


def test_a_connection_that_takes_too_long_has_its_end():
    with socket.socket() as full:
        full.bind((OURS, 0))
        full.listen(0)
        with contextlib.ExitStack() as stack:
            for _ in range(8):  # until the backlog is full, and connecting hangs
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(full.getsockname())
            with pytest.raises(EgressError) as caught:
                fetch(
                    f"http://{OURS}:{full.getsockname()[1]}/",
                    allow=[OURS],
                    deadlines=Deadlines(connect_s=0.2),
                )
    assert caught.value.message == "the server was not reached within 0.2 s"


def test_a_handshake_that_takes_too_long_has_its_end():
    with socket.create_server((OURS, 0)) as mute, pytest.raises(EgressError) as caught:
        fetch(
            f"https://{OURS}:{mute.getsockname()[1]}/",
            allow=[OURS],
            deadlines=Deadlines(tls_s=0.2),
        )
    assert caught.value.message == "the server did not set up TLS within 0.2 s"


def test_where_nobody_listens_is_told():
    with socket.create_server((OURS, 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(EgressError) as caught:
        fetch(f"http://{OURS}:{port}/", allow=[OURS])
    assert (caught.value.reason, caught.value.message) == (
        "unreachable",
        "the server cannot be reached",
    )


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (answer(SECRET.encode(), status=f"404 {SECRET}"), "status"),
        (answer(SECRET.encode(), status="500 no", kind="text/plain"), "status"),
        (answer(SECRET.encode(), kind="text/html"), "type"),
        (answer(SECRET.encode(), kind=f"text/{SECRET}"), "type"),
        (answer(SECRET.encode(), status="204 No Content"), "status"),
        (answer(SECRET.encode(), status="206 Partial Content"), "status"),
        (answer(SECRET.encode(), status="304 Not Modified"), "status"),
        (answer(SECRET.encode(), status="302 Found"), "status"),
        (f"{SECRET}\r\n\r\n".encode(), "protocol"),
        (f"HTTP/1.1 {SECRET}\r\n\r\n".encode(), "protocol"),
        (f"HTTP/1.1 200 OK\r\n{SECRET}\r\n\r\n".encode(), "protocol"),
        (f"HTTP/1.1 200 OK\r\nContent-Length: {SECRET}\r\n\r\n".encode(), "protocol"),
        (answer(SECRET.encode(), Content_Length="3"), "protocol"),
        (f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{SECRET}".encode(), "protocol"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n" + SECRET.encode(), "status"),
    ],
)
def test_errors_are_our_words_whatever_the_server_says(sent, reason):
    error, _peer = refusal(sent)
    assert error.reason == reason
    assert error.status == (int(sent.split()[1]) if reason == "status" else None)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("image/PNG; charset=x", "image/png"),
        ("image/jpg", "image/jpg"),
        ("application/octet-stream", "application/octet-stream"),
        ("", ""),
        ('image/"png"', ""),
        ("x" * 300, ""),
    ],
)
def test_a_type_that_says_little_is_left_to_the_bytes(kind, told):
    found, _peer = fetched(answer(kind=kind), accept=["image/png", "image/jpeg"])
    assert found == Fetched(PNG, told)


# ---------------------------------------------------------------------------- the lent client


def lent(*answers, ask=None, path="/mcp", options=None, **lending):
    """Lends a client for a peer on loopback and returns what asking brought, and the peer."""

    async def run():
        async with (
            listening(*answers) as peer,
            Guard(**{"allow": [f"{OURS}/32"], **(options or {})}) as guard,
        ):
            url = f"http://{OURS}:{peer.port}{path}"
            async with await guard.client(url, **lending) as client:
                return await (ask or asking)(client, url), peer

    return asyncio.run(run())


async def asking(client, url):
    return await client.post(url, json={"jsonrpc": "2.0"})


def test_the_client_sends_the_callers_headers_with_what_the_protocol_says():
    response, peer = lent(
        answer(b"{}", kind="application/json"),
        headers={"Authorization": "Bearer t", "X-Team": "a"},
    )
    assert response.json() == {}
    [head] = peer.heads
    for line in (
        "POST /mcp HTTP/1.1",
        f"Host: {OURS}:{peer.port}",
        "Authorization: Bearer t",
        "X-Team: a",
        "Content-Type: application/json",
        "Accept-Encoding: identity",
        "Content-Length: 17",
    ):
        assert line.lower() in head.lower().split("\r\n")


def test_the_client_keeps_its_connection_and_no_cookies():
    async def twice(client, url):
        await client.post(url, json={})
        return await client.post(url, json={})

    response, peer = lent(answer(b"{}", Set_Cookie="a=b"), ask=twice)
    assert peer.connections == 1
    assert not any("cookie" in head.lower() for head in peer.heads)
    assert "set-cookie" not in response.headers


def test_no_two_clients_share_a_connection():
    async def run():
        async with listening(answer(b"{}")) as peer, Guard(allow=[OURS]) as guard:
            url = f"http://{OURS}:{peer.port}/"
            for _ in range(2):
                async with await guard.client(url) as client:
                    await client.post(url)
            return peer

    assert asyncio.run(run()).connections == 2


@pytest.mark.parametrize(
    "other",
    [
        "http://127.0.0.1:8080/",
        "http://127.0.0.2:PORT/",
        "https://127.0.0.1:PORT/",
        "http://a.example/",
    ],
)
def test_the_client_goes_nowhere_else(other):
    """What it sends with each request is for one server."""

    async def elsewhere(client, url):
        with pytest.raises(httpx2.TransportError) as caught:
            await client.post(other.replace("PORT", url.split(":")[2].split("/")[0]))
        return caught.value.__cause__

    error, _peer = lent(answer(), ask=elsewhere, headers={"Authorization": "Bearer t"})
    assert isinstance(error, EgressError)
    assert error.reason == "redirect"


def test_the_client_does_not_follow_redirects():
    response, peer = lent(redirect("/other"))
    assert response.status_code == 302
    assert len(peer.heads) == 1


def test_the_client_cannot_be_made_to_frame_a_request_otherwise():
    async def smuggling(client, url):
        headers = {"Transfer-Encoding": "chunked", "Host": "other", "Expect": "100-continue"}
        return await client.post(url, content=b"hi", headers=headers)

    _response, peer = lent(answer(), ask=smuggling)
    [head] = peer.heads
    lower = head.lower()
    assert "transfer-encoding" not in lower
    assert "expect" not in lower
    assert "other" not in lower
    assert "content-length: 2" in lower


async def streamed(client, url):
    async with client.stream("POST", url) as response:
        return [read async for read in response.aiter_raw()]


def test_a_stream_comes_as_it_is_sent():
    begun = asyncio.Event()

    async def stream(writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        writer.write(b"data: 1\n\n")
        await begun.wait()
        writer.write(b"data: 2\n\n")
        await writer.drain()
        writer.close()

    async def reading(client, url):
        reads = []
        async with client.stream("POST", url) as response:
            async for read in response.aiter_raw():
                reads.append(read)
                begun.set()
        return reads

    reads, _peer = lent(stream, ask=reading)
    assert reads == [b"data: 1\n\n", b"data: 2\n\n"]


def of_events(*events):
    body = b"".join(events)
    return answer(body, kind="text/event-stream; charset=utf-8")


BOUNDS = Bounds(body_bytes=1000, stream_bytes=5000, event_bytes=2000, events=10)


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (answer(b"x" * 1001, kind="application/json"), "sends more than 1000 bytes"),
        (of_events(*[b"data: %b\n\n" % (b"x" * 1500)] * 4), "sends more than 5000 bytes"),
        (of_events(b"data: " + b"x" * 3000), "an event of more than 2000 bytes"),
        (of_events(b"data: x\n" * 300), "an event of more than 2000 bytes"),
        (of_events(b"data: x\n\n" * 11), "sends more than 10 events"),
    ],
)
def test_what_a_client_reads_has_bounds(sent, says):
    async def reading(client, url):
        with pytest.raises(httpx2.TransportError, match=says) as caught:
            await streamed(client, url)
        return caught.value.__cause__

    error, _peer = lent(sent, ask=reading, bounds=BOUNDS)
    assert isinstance(error, EgressError)
    assert error.reason in ("size", "protocol")


def test_a_stream_within_its_bounds_is_read_whole():
    sent = [b"data: %b\n\n" % (b"x" * 400)] * 10
    reads, _peer = lent(of_events(*sent), ask=streamed, bounds=BOUNDS)
    assert b"".join(reads) == b"".join(sent)


def test_a_stream_that_falls_silent_has_its_end():
    async def reading(client, url):
        with pytest.raises(httpx2.ReadTimeout, match=r"sent nothing for 0\.2 s"):
            await streamed(client, url)

    lent(stalled_body, ask=reading, deadlines=Deadlines(idle_s=0.2))


def test_a_closed_guard_breaks_off_what_is_being_read():
    async def run():
        async with listening(stalled_body) as peer:
            guard = Guard(allow=[OURS])
            url = f"http://{OURS}:{peer.port}/"
            async with await guard.client(url) as client, client.stream("GET", url) as response:
                await guard.aclose()
                with pytest.raises(httpx2.RemoteProtocolError, match="broke off"):
                    await response.aread()

    asyncio.run(run())


def test_what_a_client_may_not_reach_is_an_error_of_its_library():
    async def run():
        async with Guard() as guard:
            with canary() as port:
                url = f"https://{OURS}:{port}/mcp"
                async with await guard.client(url) as client:
                    with pytest.raises(httpx2.ConnectError, match="no public address"):
                        await client.post(url, json={})

    asyncio.run(run())


@pytest.mark.parametrize("url", ["ftp://a.example/", "https://127.1/", "https://a@b.example/"])
def test_no_client_is_lent_for_a_url_that_is_none(url):
    async def run():
        async with Guard() as guard:
            await guard.client(url)

    with pytest.raises(EgressError):
        asyncio.run(run())


def test_the_library_is_only_loaded_for_a_client():
    """It costs a tenth of a second and megabytes, and images and files do without it."""
    program = "import sys, trunkline.app, trunkline.transport.guard; print('httpx2' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert out.stdout.strip() == b"False"
