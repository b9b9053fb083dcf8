"""The event stream parser and encoder."""

from __future__ import annotations

import pytest

from trunkline.errors import UpstreamError
from trunkline.wire import sse

STREAMS = {
    "plain": (
        b'data: {"a":1}\n\ndata: {"b":2}\n\ndata: [DONE]\n\n',
        [b'{"a":1}', b'{"b":2}', sse.DONE],
    ),
    "crlf": (b"data: 1\r\n\r\ndata: 2\r\n\r\n", [b"1", b"2"]),
    "cr": (b"data: 1\r\rdata: 2\r\r", [b"1", b"2"]),
    "mixed line ends": (b"data: 1\r\n\ndata: 2\n\r\ndata: 3\r\n\r\n", [b"1", b"2", b"3"]),
    "byte order mark": (b"\xef\xbb\xbfdata: 1\n\n", [b"1"]),
    "byte order mark later is part of a field name": (b"\n\xef\xbb\xbfdata: 1\n\n", []),
    "comments and other fields": (
        b": ping\n\nevent: x\nid: 7\nretry: 5\ndata: 1\n: in between\n\nevent: y\n\n",
        [b"1"],
    ),
    "no space, two spaces, no colon": (b"data:1\n\ndata:  2\n\ndata\n\n", [b"1", b" 2", b""]),
    "several data lines": (b"data: {\ndata:  1\ndata: }\n\n", [b"{\n 1\n}"]),
    "field whose name begins like data": (b"database: 1\n\n", []),
    "text in many scripts": ("data: grüße 你好 🎉\n\n".encode(), ["grüße 你好 🎉".encode()]),
    "cut off in the last event": (b"data: 1\n\ndata: 2\n", [b"1"]),
    "empty": (b"", []),
}


@pytest.mark.parametrize(("stream", "payloads"), STREAMS.values(), ids=STREAMS)
def test_a_stream_gives_the_same_payloads_wherever_its_reads_are_cut(stream, payloads):
    for first in range(len(stream) + 1):
        for second in range(first, len(stream) + 1):
            parser = sse.Parser()
            pieces = (stream[:first], stream[first:second], stream[second:])
            assert feed_all(parser, pieces) == payloads


def test_a_payload_is_given_out_with_the_read_that_completes_it():
    parser = sse.Parser()
    assert parser.feed(b"data: 1\n") == []
    assert parser.feed(b"\ndata: 2\n\ndata: 3") == [b"1", b"2"]
    assert parser.feed(b"\r\r") == [b"3"]


@pytest.mark.parametrize("line", [b"data: ", b": comment ", b"data: x\ndata: "])
def test_an_event_without_an_end_is_given_up(line):
    parser = sse.Parser(max_bytes=1000)
    parser.feed(line)
    with pytest.raises(UpstreamError, match="more than 1000 bytes") as caught:
        feed_all(parser, [b"0123456789"] * 200)
    assert caught.value.retryable


def test_endless_data_lines_without_a_blank_one_are_given_up():
    parser = sse.Parser(max_bytes=1000)
    with pytest.raises(UpstreamError):
        feed_all(parser, [b"data: 012345\n"] * 200)


def test_many_events_longer_than_the_bound_together_pass():
    parser = sse.Parser(max_bytes=100)
    assert feed_all(parser, [b"data: 0123456789\n\n"] * 50) == [b"0123456789"] * 50


def test_comments_without_events_never_add_up_to_the_bound():
    assert feed_all(sse.Parser(max_bytes=100), [b": ping\n", b"\n"] * 50) == []


def test_payloads_are_encoded_into_one_piece_and_parse_back():
    payloads = [b'{"a":1}', b"{\n1\n}", sse.DONE]
    encoded = sse.encode(payloads)
    assert encoded == b'data: {"a":1}\n\ndata: {\ndata: 1\ndata: }\n\ndata: [DONE]\n\n'
    assert sse.Parser().feed(encoded) == payloads
    assert sse.encode([]) == b""


def feed_all(parser, reads):
    return [payload for read in reads for payload in parser.feed(read)]
