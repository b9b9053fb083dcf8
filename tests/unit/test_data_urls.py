"""Data URLs taken apart, and what the bytes in them are."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import InvalidRequest
from trunkline.wire.data_urls import Media, decoded, from_base64, image, sniffed

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
AT = "input[0].content[1].image_url"


def taken(url, max_bytes=10_000):
    return decoded(url, max_bytes=max_bytes, param=AT)


@given(st.binary(max_size=200))
def test_what_is_encoded_is_decoded(body):
    media = Media("image/png", body)
    assert taken(media.url) == media


@pytest.mark.parametrize(
    ("url", "kind", "body"),
    [
        ("data:image/png;base64,aGk=", "image/png", b"hi"),
        ("DATA:Image/PNG;BASE64,aGk=", "image/png", b"hi"),
        ("data:image/png;base64,aGk", "image/png", b"hi"),
        ("data:image/png;base64,aG\r\n k=\n", "image/png", b"hi"),
        ("data:image/png;base64,aGk%3D", "image/png", b"hi"),
        ("data:image/png;base64,%2B%2F8%3d", "image/png", b"\xfb\xff"),
        ("data:image/png; base64,aGk=", "image/png", b"hi"),
        ("data:text/plain;charset=utf-8;base64,aGk=", "text/plain", b"hi"),
        ("data:text/plain;charset=utf-8,h%C3%A9%2C", "text/plain", "hé,".encode()),
        ("data:application/pdf;name=a%20b.pdf;base64,aGk=", "application/pdf", b"hi"),
        ("data:;base64,aGk=", "", b"hi"),
        ("data:,hi", "", b"hi"),
        ("data:,", "", b""),
    ],
)
def test_every_way_to_write_one_is_read(url, kind, body):
    assert taken(url) == Media(kind, body)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "data:",
        "data:image/png;base64",
        "data,hi",
        "https://example.com/a.png,",
        "data:image;base64,aGk=",
        "data:image/png base64,aGk=",
        "data:image/png;base64;x,aGk=" + "=" * 0 + "\ud800",
        "data:image/png;base64,aGk*",
        "data:image/png;base64,a",
        "data:image/png;base64,aG=k",
        "data:image/png;base64,aGké",
        "data:image/png;base64,aG%ffk",
        "data:image/png;" + "a=b;" * 200 + "base64,aGk=",
        "data:text/plain,\ud800",
    ],
)
def test_what_is_none_is_refused_at_its_field(url):
    with pytest.raises(InvalidRequest) as caught:
        taken(url)
    assert caught.value.param == AT
    assert caught.value.message.startswith(f"{AT}: ")
    assert "aGk" not in caught.value.message


@pytest.mark.parametrize("url", ["data:image/png;base64,{}", "data:image/png,{}"])
def test_size_is_counted_in_bytes(url):
    def written(length):
        body = b"x" * length
        return url.format(base64.b64encode(body).decode() if "base64" in url else body.decode())

    assert taken(written(1000), max_bytes=1000).body == b"x" * 1000
    with pytest.raises(InvalidRequest, match="holds more than 1000 bytes"):
        taken(written(1001), max_bytes=1000)


def test_base64_may_come_without_its_url():
    assert from_base64("aGk=", max_bytes=2, param=AT) == b"hi"
    with pytest.raises(InvalidRequest, match="more than 1 bytes"):
        from_base64("aGk=", max_bytes=1, param=AT)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "image/jpeg"),
        (b"GIF87a..", "image/gif"),
        (b"GIF89a..", "image/gif"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\x10\0\0\0WAVEfmt ", ""),
        (b"%PDF-1.7\n", "application/pdf"),
        (b"\xef\xbb\xbf\r\n%PDF-1.7\n", "application/pdf"),
        (b"A text about %PDF-1.7", ""),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", ""),
        (b"\x89PNG", ""),
        (b"", ""),
    ],
)
def test_the_bytes_tell_what_they_are(body, kind):
    assert sniffed(body) == kind


def test_an_image_gets_the_type_that_it_has():
    media = taken(Media("image/jpeg", PNG).url)
    assert image(media.body, param=AT) == Media("image/png", PNG)


@pytest.mark.parametrize(
    "body", [b"", b"%PDF-1.7", b"<svg/>", b"BM\x00\x00", b"RIFF\x10\0\0\0WAVE"]
)
def test_what_is_no_image_is_refused(body):
    with pytest.raises(InvalidRequest, match="PNG, JPEG, GIF or WebP") as caught:
        image(body, param=AT)
    assert caught.value.param == AT
