"""The text of files, with the real reader of PDFs in its process, and files that are made to harm it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import subprocess
import sys
import time
import zlib

import pypdf
import pytest
from pypdf.generic import ArrayObject, DictionaryObject, NameObject, StreamObject

from trunkline.errors import InvalidRequest, RateLimited
from trunkline.files import Files, pdf
from trunkline.files.pdf import PDFs

AT = "input[0].content[0].file_data"
_FONT = DictionaryObject(
    {
        NameObject("/Type"): NameObject("/Font"),
        NameObject("/Subtype"): NameObject("/Type1"),
        NameObject("/BaseFont"): NameObject("/Helvetica"),
    }
)


def drawing(text):
    return b"BT /F1 12 Tf 10 100 Td (%s) Tj ET" % text.encode("latin-1")


def pdf_of(*contents, password=None):
    """Returns a PDF with a page for each stream of drawing commands."""
    writer = pypdf.PdfWriter()
    for content in contents:
        page = writer.add_blank_page(200, 200)
        fonts = DictionaryObject({NameObject("/F1"): _FONT})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        stream = StreamObject()
        stream.set_data(content)
        page[NameObject("/Contents")] = writer._add_object(stream.flate_encode())
    if password is not None:
        writer.encrypt(user_password=password, owner_password="owner", algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def text_of(data, *, max_chars=10_000):
    return asyncio.run(Files().text(data, max_chars=max_chars, param=AT))


def refused(data, **options):
    with pytest.raises(InvalidRequest) as caught:
        text_of(data, **options)
    assert caught.value.param == AT
    return caught.value.message.removeprefix(f"{AT}: ")


@pytest.mark.parametrize(
    "data",
    [
        "Grüße 🙂\r\n".encode(),
        "Grüße 🙂\r\n".encode("utf-8-sig"),
        "Grüße 🙂\r\n".encode("utf-16"),
        b"\xfe\xff" + "Grüße 🙂\r\n".encode("utf-16-be"),
        "Grüße 🙂\r\n".encode("utf-32"),
    ],
)
def test_text_is_taken_as_it_is(data):
    assert text_of(data) == "Grüße 🙂\r\n"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "the file holds no text"),
        (b" \n\t", "the file holds no text"),
        (b"PK\x03\x04\0\0", "neither a PDF nor text"),
        ("Grüße".encode("latin-1"), "neither a PDF nor text"),
        (b"\xff\xfe\x00", "neither a PDF nor text"),
        (b"a\0b", "neither a PDF nor text"),
        (b"x" * 10_001, "the file holds more than 10000 characters of text"),
        (pdf_of(b""), "the PDF holds no text"),
        (pdf_of(drawing("secret-7a1c"), password="p"), "protected by a password"),
        (pdf_of(*[drawing("x" * 500)] * 21), "the file holds more than 10000 characters of text"),
        (b"%PDF-1.7\n", "cannot be read"),
        (b"%PDF-1.7\n" + os.urandom(5000), "cannot be read"),
        (pdf_of(drawing("hello"))[:400], "cannot be read"),
    ],
)
def test_what_has_no_text_to_give_is_refused_with_the_reason(data, says):
    message = refused(data)
    assert says in message
    assert "secret" not in message


def test_a_pdf_is_read_page_by_page():
    assert text_of(pdf_of(drawing("one"), b"", drawing("two"))) == "one\n\n\n\ntwo"


def test_a_pdf_that_anybody_may_open_is_read_although_it_is_encrypted():
    assert text_of(pdf_of(drawing("hello"), password="")) == "hello"


def test_as_much_text_as_is_allowed_is_read():
    data = pdf_of(drawing("x" * 10), drawing("y" * 8))
    assert len(text_of(data, max_chars=20)) == 20
    assert "more than 19 characters" in refused(data, max_chars=19)


# ------------------------------------------------------------------------------------- bombs


def bomb(length):
    """A page whose drawing commands are packed to a thousandth."""
    return pdf_of(drawing("x") + b" " * length)


def endless_tree():
    """A tree of pages that comes back to itself."""
    data = pdf_of(drawing("x"))
    reader = pypdf.PdfReader(io.BytesIO(data))
    writer = pypdf.PdfWriter(clone_from=reader)
    pages = writer._root_object["/Pages"]
    assert isinstance(pages, DictionaryObject)
    pages[NameObject("/Kids")] = ArrayObject([writer._root_object.raw_get("/Pages")] * 2)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def many_commands():
    return pdf_of(b"BT /F1 12 Tf " + b"(x) Tj " * 4_000_000 + b"ET")


def bombs_in_bombs():
    """A page whose stream is packed three times over."""
    packed = zlib.compress(zlib.compress(zlib.compress(b" " * (1 << 27), 9), 9), 9)
    plain = pdf_of(b"x" * len(packed))
    start, end = plain.index(b"stream\n") + 7, plain.index(b"\nendstream")
    head = plain[:start].replace(b"/FlateDecode", b"[/FlateDecode /FlateDecode /FlateDecode]")
    head = head.replace(b"/Length %d" % (end - start), b"/Length %d" % len(packed))
    return head + packed + plain[end:]


@pytest.mark.parametrize(
    "make",
    [lambda: bomb(100 << 20), endless_tree, many_commands, bombs_in_bombs],
    ids=["packed", "endless-tree", "many-commands", "packed-thrice"],
)
def test_a_pdf_that_is_made_to_harm_is_refused_in_time(make):
    data = make()
    started = time.monotonic()
    message = refused(data)
    assert "too much time or memory" in message or "cannot be read" in message
    assert time.monotonic() - started < 60


def test_a_pdf_with_too_many_pages_is_refused():
    assert refused(pdf_of(*[b""] * 2001)) == "the PDF has more than 2000 pages"


# ------------------------------------------------------------------------------- the process


@contextlib.contextmanager
def reading_by(monkeypatch, folder, program):
    """Lets another program be the child."""
    script = folder / "child"
    script.write_text(f"#!{sys.executable}\n{program}", encoding="utf-8")
    script.chmod(0o700)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(script))
        yield


def test_the_process_gets_none_of_our_secrets(monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    monkeypatch.setenv("TRUNKLINE_SECRET", "canary")
    program = "import json, os; print(json.dumps({'type': 'Found', 'text': str(dict(os.environ))}))"
    with reading_by(monkeypatch, tmp_path, program):
        told = text_of(pdf_of(b""))
    assert "canary" not in told
    assert "PYTHON" in told or told == "{}" or "LC_CTYPE" in told


def test_a_process_that_dies_is_told_and_logged(monkeypatch, tmp_path, capsys):
    with reading_by(monkeypatch, tmp_path, "import os; os.abort()"):
        assert "too much time or memory" in refused(pdf_of(b""))
    assert "pdf_reader_died" in capsys.readouterr().out


HANGING = "import os, sys, time; open({!r}, 'w').write(str(os.getpid())); time.sleep(60)"


def test_a_process_that_takes_too_long_is_ended(monkeypatch, tmp_path):
    async def run():
        with pytest.raises(InvalidRequest, match="too much time or memory"):
            await PDFs(timeout_s=1).text(b"%PDF-", max_chars=10, param=AT)

    pid = tmp_path / "pid"
    with reading_by(monkeypatch, tmp_path, HANGING.format(str(pid))):
        asyncio.run(run())
    assert gone(pid)


def test_a_process_ends_with_the_request_that_it_is_for(monkeypatch, tmp_path):
    pid = tmp_path / "pid"

    async def run():
        reading = asyncio.create_task(  # noqa: TID251  # to be cancelled
            Files().text(b"%PDF-", max_chars=10, param=AT)
        )
        async with asyncio.timeout(20):
            while not (pid.exists() and pid.read_text()):
                await asyncio.sleep(0.01)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    with reading_by(monkeypatch, tmp_path, HANGING.format(str(pid))):
        asyncio.run(run())
    assert gone(pid)


def gone(pid):
    try:
        os.kill(int(pid.read_text()), 0)
    except ProcessLookupError:
        return True
    return False


def test_only_a_few_are_read_at_a_time(monkeypatch, tmp_path):
    monkeypatch.setattr(pdf, "_TURN_TIMEOUT_S", 0.2)

    async def run():
        pdfs = PDFs(timeout_s=2)
        readings = (pdfs.text(b"%PDF-", max_chars=10, param=AT) for _ in range(3))
        return await asyncio.gather(*readings, return_exceptions=True)

    with reading_by(monkeypatch, tmp_path, "import time; time.sleep(60)"):
        kinds = [type(each) for each in asyncio.run(run())]
    assert sorted(kinds, key=str) == [InvalidRequest, InvalidRequest, RateLimited]


def test_the_library_is_loaded_by_the_process_alone():
    program = "import sys, trunkline.files; print('pypdf' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert out.stdout.strip() == b"False"
