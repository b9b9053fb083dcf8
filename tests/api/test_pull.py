"""Pulling weights from a stand-in of the hub, and what may go wrong on the way."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.hub import LARGE, REVISION, SMALL, SMALL_FILE, StandIn
from trunkline.engine import hub as hubs
from trunkline.engine import pull as pulling
from trunkline.engine import weights as shelf
from trunkline.engine.hub import Hub
from trunkline.engine.model import NANO
from trunkline.engine.pull import pull
from trunkline.engine.weights import HubFile, Manifest, Stored, Weights, stored
from trunkline.errors import PullError

CONTENT = NANO.read_bytes()
MIDDLE = len(CONTENT) // 2
AT_ONCE = (0.0, 0.0, 0.0)


class Told:
    """Notes what a pull tells."""

    def __init__(self) -> None:
        self.steps: list[tuple[Any, ...]] = []
        self.done = 0

    def fetching(self, file: HubFile, have: int) -> None:
        self.steps.append(("fetching", file.name, have))

    def checking(self, file: HubFile) -> None:
        self.steps.append(("checking", file.name))

    def at(self, done: int) -> None:
        self.done = done

    def waiting(self, why: str, delay_s: float) -> None:
        self.steps.append(("waiting", why))


def fetch(hub: StandIn, home: Path, weights: Weights = SMALL, **options: Any) -> Stored:
    options = {"progress": Told(), "delays_s": AT_ONCE, **options}
    return pull(weights, home, hub=Hub(endpoint=hub.url, token=False), **options)


def partial(home: Path) -> Path:
    return shelf.folder(home, SMALL) / f"{SMALL_FILE}{shelf.PARTIAL}"


def ranges(hub: StandIn) -> list[tuple[int, int] | None]:
    return [asked.range for asked in hub.content()]


@contextmanager
def interrupted(hub: StandIn, home: Path, have: int) -> Iterator[None]:
    """Leaves behind what a command leaves that was interrupted after ``have`` bytes."""
    hub.cuts = [have]
    with pytest.raises(PullError, match="continues what is there"):
        fetch(hub, home, delays_s=())
    assert partial(home).read_bytes() == CONTENT[:have]
    hub.asked.clear()
    yield


def test_a_pull_brings_the_file_and_tells_how_it_gets_on(hub, tmp_path):
    told = Told()
    found = fetch(hub, tmp_path, progress=told)
    assert found == stored(tmp_path, SMALL)
    assert found == Stored(
        state="pulled",
        folder=tmp_path / "models" / "openai" / "gpt-oss-20b",
        size_bytes=len(CONTENT),
        have_bytes=len(CONTENT),
        manifest=Manifest(
            SMALL.repository,
            REVISION,
            (HubFile(SMALL_FILE, len(CONTENT), hashlib.sha256(CONTENT).hexdigest()),),
        ),
    )
    assert found.path is not None
    assert found.path.read_bytes() == CONTENT
    assert told.steps == [("fetching", SMALL_FILE, 0), ("checking", SMALL_FILE)]
    assert told.done == len(CONTENT)
    assert {path.name for path in found.folder.iterdir()} == {SMALL_FILE, "manifest.json"}


def test_what_is_there_is_not_fetched_again(hub, tmp_path):
    fetch(hub, tmp_path)
    hub.asked.clear()
    assert fetch(hub, tmp_path).state == "pulled"
    assert hub.content() == []


def test_a_split_model_is_pulled_whole(hub, tmp_path):
    found = fetch(hub, tmp_path, LARGE)
    assert found.path is not None
    assert found.path.name == "gpt-oss-120b-mxfp4-00001-of-00003.gguf"
    model = shelf.opened(LARGE, found.path)
    assert (model.card.name, len(model.file.parts)) == ("openai/gpt-oss-120b", 3)
    (listed,) = shelf.pulled(tmp_path)
    assert listed == model


def test_a_connection_that_is_cut_is_continued_where_it_broke(hub, tmp_path):
    hub.cuts = [MIDDLE, 1000]
    told = Told()
    assert fetch(hub, tmp_path, progress=told).state == "pulled"
    last = len(CONTENT) - 1
    assert ranges(hub) == [(0, last), (MIDDLE, last), (MIDDLE + 1000, last)]
    assert told.steps.count(("waiting", "the connection broke")) == 2


def test_an_interrupted_command_is_continued_by_the_next(hub, tmp_path):
    with interrupted(hub, tmp_path, MIDDLE):
        found = stored(tmp_path, SMALL)
        assert (found.state, found.have_bytes, found.path) == ("incomplete", MIDDLE, None)
        told = Told()
        assert fetch(hub, tmp_path, progress=told).state == "pulled"
        assert told.steps[0] == ("fetching", SMALL_FILE, MIDDLE)
        assert ranges(hub) == [(MIDDLE, len(CONTENT) - 1)]


def test_what_the_hub_has_replaced_since_is_not_continued(hub, tmp_path):
    with interrupted(hub, tmp_path, MIDDLE):
        newer = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
        hub.repositories[SMALL.repository] = {SMALL_FILE: newer}
        found = fetch(hub, tmp_path)
        assert ranges(hub) == [(0, len(newer) - 1)]
        assert found.path is not None
        assert found.path.read_bytes() == newer


def test_a_large_file_is_asked_for_in_slices(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(pulling, "_SLICE", MIDDLE + 1)
    fetch(hub, tmp_path)
    assert ranges(hub) == [(0, MIDDLE), (MIDDLE + 1, len(CONTENT) - 1)]


def test_a_server_that_ignores_ranges_costs_time_and_nothing_else(hub, tmp_path):
    with interrupted(hub, tmp_path, MIDDLE):
        hub.ranges = False
        found = fetch(hub, tmp_path)
        assert found.path is not None
        assert found.path.read_bytes() == CONTENT


def test_a_wrong_checksum_deletes_the_file_and_says_so(hub, tmp_path):
    hub.checksums[SMALL_FILE] = "0" * 64
    with pytest.raises(
        PullError, match=rf"{SMALL_FILE} .* not 0000.*was deleted, run the same command"
    ):
        fetch(hub, tmp_path)
    assert not partial(tmp_path).exists()
    assert stored(tmp_path, SMALL).state == "incomplete"
    hub.checksums.clear()
    assert fetch(hub, tmp_path).state == "pulled"


def test_a_disk_without_room_is_refused_before_the_first_byte(hub, tmp_path):
    room = 64 << 20
    needed = f"{len(CONTENT):,}"
    with pytest.raises(PullError, match=rf"needs {needed} more bytes .* where {room:,} "):
        fetch(hub, tmp_path, free=lambda _: room)
    assert hub.content() == []
    assert fetch(hub, tmp_path, free=lambda _: room + len(CONTENT)).state == "pulled"


def test_only_what_is_missing_needs_room(hub, tmp_path):
    with interrupted(hub, tmp_path, MIDDLE):
        room = (64 << 20) + len(CONTENT) - MIDDLE
        assert fetch(hub, tmp_path, free=lambda _: room).state == "pulled"


def test_what_is_there_survives_a_refusal_for_want_of_room(hub, tmp_path):
    with interrupted(hub, tmp_path, MIDDLE):
        with pytest.raises(PullError, match="free some space"):
            fetch(hub, tmp_path, free=lambda _: 0)
        fetch(hub, tmp_path)
        assert ranges(hub) == [(MIDDLE, len(CONTENT) - 1)]


def test_a_disk_that_fills_on_the_way_is_named(hub, tmp_path):
    path = partial(tmp_path)
    with interrupted(hub, tmp_path, MIDDLE):
        path.unlink()
        path.symlink_to("/dev/full")
        with pytest.raises(PullError, match=r"\(No space left on device\): free some space and"):
            fetch(hub, tmp_path)
        path.unlink()
        assert fetch(hub, tmp_path).state == "pulled"


def test_a_folder_that_cannot_be_made_is_named(hub, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "openai").write_text("in the way")
    with pytest.raises(PullError, match=r"cannot write in .*: File exists; set TRUNKLINE_HOME"):
        fetch(hub, tmp_path)


def test_a_gated_repository_says_where_to_ask(hub, tmp_path):
    hub.gated.add(SMALL.repository)
    with pytest.raises(
        PullError, match=rf"is gated: ask for access at {hub.url}/ggml-org/.*HF_TOKEN"
    ):
        fetch(hub, tmp_path)


def test_a_missing_repository_says_so(hub, tmp_path):
    del hub.repositories[SMALL.repository]
    with pytest.raises(
        PullError, match=r"has no repository ggml-org/gpt-oss-20b-GGUF, or does not"
    ):
        fetch(hub, tmp_path)


def test_a_repository_without_the_file_lists_what_it_has(hub, tmp_path):
    hub.repositories[SMALL.repository] = {"gpt-oss-20b-Q4_0.gguf": CONTENT}
    with pytest.raises(
        PullError, match=r"no gpt-oss-20b-mxfp4\.gguf.*it has gpt-oss-20b-Q4_0\.gguf"
    ):
        fetch(hub, tmp_path)


@pytest.mark.parametrize(
    ("status", "said"),
    [(403, "does not let you read"), (451, "refused .* with status 451"), (503, "it answered 503")],
)
def test_a_refusal_is_told(hub, tmp_path, status, said):
    hub.failures = [status] * 3
    with pytest.raises(PullError, match=said):
        fetch(hub, tmp_path)


def test_a_hub_that_recovers_costs_a_wait(hub, tmp_path):
    hub.failures = [503, 429]
    told = Told()
    assert fetch(hub, tmp_path, progress=told).state == "pulled"
    assert told.steps[:2] == [("waiting", "it answered 503"), ("waiting", "it answered 429")]


def test_a_hub_that_is_down_is_told_after_a_few_tries(unused_port, tmp_path):
    nobody = StandIn(port=unused_port)
    told = Told()
    with pytest.raises(PullError, match=rf":{unused_port} fails: it cannot be reached \(.*refused"):
        fetch(nobody, tmp_path, progress=told)
    assert len(told.steps) == 2


def test_a_connection_that_falls_silent_counts_as_lost(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(hubs, "_TIMEOUT", 0.2)
    hub.paused_after = MIDDLE + 1
    told = Told()
    assert fetch(hub, tmp_path, progress=told).state == "pulled"
    assert told.steps[1] == ("waiting", "it does not answer in time")
    assert ranges(hub)[1] == (MIDDLE + 1, len(CONTENT) - 1)


def test_an_empty_endpoint_is_as_none(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "")
    assert Hub(token=False).endpoint == "https://huggingface.co"


@pytest.mark.parametrize("endpoint", ["hub.example", "http://[::1", "ftp://127.0.0.1"])
def test_an_endpoint_that_is_no_address_is_named(tmp_path, endpoint):
    with pytest.raises(PullError, match=r"HF_ENDPOINT: .* is no address"):
        pull(SMALL, tmp_path, hub=Hub(endpoint=endpoint, token=False), progress=Told())


def described(sha: Any = REVISION, name: Any = SMALL_FILE, **lfs: Any) -> bytes:
    """A page about a repository with one file."""
    lfs = {"sha256": "0" * 64, "size": 3, "pointerSize": 1, **lfs}
    return json.dumps(
        {"id": "a/b", "sha": sha, "siblings": [{"rfilename": name, "lfs": lfs}]}
    ).encode()


@pytest.mark.parametrize(
    "page",
    [
        b"<html>Please log in</html>",
        b"[]",
        b'{"siblings": [{}]}',
        b"[" * 200_000,
        described(sha=12),
        described(name=None),
        described(size="3"),
        described(size=None),
        described(size=-3),
        described(size=3.5),
        described(sha256=None),
        described(sha256="0"),
    ],
    ids=lambda page: page[-40:].decode(),
)
def test_an_endpoint_that_is_no_hub_is_named(hub, tmp_path, page):
    hub.page = page
    with pytest.raises(PullError, match="does not answer as a hub does: check HF_ENDPOINT"):
        fetch(hub, tmp_path)


def test_what_a_hub_calls_its_files_cannot_command_the_terminal(hub, tmp_path):
    hub.page = described(name="\x1b]0;owned\x07.gguf")
    with pytest.raises(PullError, match="it has no GGUF file"):
        fetch(hub, tmp_path)


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("", "leads in circles"),
        ("http://" + "a" * 70 + ".example/", "does not answer as a hub does"),
        ("ftp://127.0.0.1/", "the connection broke"),
    ],
)
def test_a_redirect_that_leads_nowhere_is_told(hub, tmp_path, to, said):
    hub.redirect = to
    with pytest.raises(PullError, match=said):
        fetch(hub, tmp_path)


def test_a_lock_that_cannot_be_made_is_named(hub, tmp_path):
    (tmp_path / "models" / "openai" / ".gpt-oss-20b.lock").mkdir(parents=True)
    for act in (fetch, lambda _, home: shelf.remove(home, SMALL)):
        with pytest.raises(PullError, match=r"cannot write in .*: Is a directory; set TRUNKLINE"):
            act(hub, tmp_path)


def test_a_file_that_is_no_model_is_kept_and_named(hub, tmp_path):
    hub.repositories[SMALL.repository] = {SMALL_FILE: b"not a model"}
    with pytest.raises(PullError, match=r"here as published, but: .* not a GGUF file"):
        fetch(hub, tmp_path)
    assert shelf.pulled(tmp_path) == []


def test_two_pulls_of_one_model_do_not_meet(hub, tmp_path):
    hub.paused_after = MIDDLE
    first = threading.Thread(target=fetch, args=(hub, tmp_path))
    first.start()
    try:
        while not hub.content():
            assert first.is_alive()
        with pytest.raises(PullError, match="is being pulled by another process"):
            fetch(hub, tmp_path)
        with pytest.raises(PullError, match="is being pulled by another process"):
            shelf.remove(tmp_path, SMALL)
        assert fetch(hub, tmp_path, LARGE).state == "pulled"
    finally:
        hub.go_on.set()
        first.join()
    assert stored(tmp_path, SMALL).state == "pulled"
    assert shelf.remove(tmp_path, SMALL) == len(CONTENT)
    assert stored(tmp_path, SMALL).state == "absent"


@pytest.mark.parametrize(
    ("token", "sent"),
    [("hf_mine", "Bearer hf_mine"), ("tl_ours", None), ("of-our-own-choice", None), ("", None)],
)
def test_a_token_goes_to_the_hub_and_never_beyond_nor_one_of_ours(
    hub, tmp_path, monkeypatch, token, sent
):
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setenv("TRUNKLINE_BOOTSTRAP_KEY", "of-our-own-choice")
    monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", "")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    pull(SMALL, tmp_path, hub=Hub(endpoint=hub.url), progress=Told(), delays_s=())
    by_host = {(a.host.split(":")[0], a.authorization) for a in hub.asked}
    assert by_host == {("127.0.0.1", sent), ("localhost", None)}


def test_who_is_refused_with_one_of_our_keys_is_told_that_it_was_not_sent(
    hub, tmp_path, monkeypatch
):
    monkeypatch.setenv("HF_TOKEN", "tl_ours")
    hub.gated.add(SMALL.repository)
    with pytest.raises(PullError, match="HF_TOKEN holds a key of this router, which is not sent"):
        pull(SMALL, tmp_path, hub=Hub(endpoint=hub.url), progress=Told(), delays_s=())
