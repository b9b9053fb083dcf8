"""The OpenAI dialect: the identity, but for the quirks that are data and the failures to be told apart."""

from __future__ import annotations

import email.utils
import math
import re
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta, Raw, Struct

from trunkline.config import Quirks
from trunkline.errors import CALLERS_MISTAKES, UpstreamError
from trunkline.providers.base import Call, Outgoing, ReasoningFields, Whole
from trunkline.providers.leaks import is_plain_answer
from trunkline.providers.repair import StreamRepair, is_gpt_oss, recover, repair_reply
from trunkline.providers.request import RequestForm
from trunkline.wire.chat import peek_usage
from trunkline.wire.sse import DONE

_TRUE = Raw(b"true")
_INCLUDE_USAGE = Raw(b'{"include_usage":true}')
_REASONING = ("reasoning", "reasoning_content")

_Shown = ReasoningFields | Literal["none"]

_MAX_WITHHELD = 64  # chunks; beyond that a stream counts as committed
_MAX_WITHHELD_BYTES = 1024 * 1024
_RECENT = 4  # chunks in which the end of a stream is looked for
_MAX_SENTENCE = 500  # characters of a provider's message that a caller may read
_MAX_PARAM = 200  # characters of the name of what a provider found wrong
_MAX_RETRY_AFTER_S = 86_400.0

# What the model did wrong, not the caller, though it comes as a 400.
_TOOL_USE_FAILED = "tool_use_failed"
_MODELS_MISTAKES = frozenset({_TOOL_USE_FAILED, "json_validate_failed"})
_FAILED_GENERATION = frozenset({"failed_generation"})

# A delta of nothing but words. No string can spell it: the quotes in one are escaped.
_BARE_DELTA = re.compile(
    rb'"delta":\{"(?P<name>content|reasoning|reasoning_content)":'
    rb'"(?P<words>[^"\\]*+(?:\\.[^"\\]*+)*+)"\}'
)
# The inside of a string, up to what may be the beginning of a marker, or of code that quotes one.
_match_words = re.compile(rb'[^"\\<`]*+(?:\\(?!u003).[^"\\<`]*+)*+').match
_FINISHED = re.compile(rb'"finish_reason"\s*:\s*"[^"]')
_EMPTY = frozenset({b"null", b'""', b"[]", b"{}"})

_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_encode = msgspec.json.encode
_decode_any = msgspec.json.Decoder().decode
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_objects = msgspec.json.Decoder(list[dict[str, Raw]] | None).decode
_decode_delta = msgspec.json.Decoder(dict[str, Raw] | None).decode


class OpenAIChat:
    """Chat Completions as OpenAI published them, which most providers speak unchanged.

    ``secrets`` are what no error may quote beside the key. ``reasoning_fields`` says under which names reasoning text reaches the caller, whichever of the
    two the provider uses: ``reasoning`` (gpt-oss, OpenRouter) or ``reasoning_content`` (vLLM).
    ``gpt_oss`` are the provider's ids of models that are gpt-oss though their ids do not say so:
    what gpt-oss answers is repaired. ``quirks`` are where the provider deviates.
    """

    def __init__(
        self,
        *,
        key: str | None = None,
        secrets: Collection[str] = (),
        reasoning_fields: ReasoningFields = "both",
        gpt_oss: Collection[str] = (),
        quirks: Quirks | None = None,
    ) -> None:
        self._secrets = tuple(sorted({key or "", *secrets} - {""}, key=len, reverse=True))
        quirks = quirks or Quirks()
        self._form = RequestForm(quirks)
        self._reads_all = quirks.inline_reasoning  # which the reader of gpt-oss takes out
        self._hides_itself = quirks.reasoning_object
        self._reports_usage = "stream_options" not in quirks.unsupported
        self._gpt_oss = frozenset(gpt_oss)
        self._reasoning_fields: ReasoningFields = reasoning_fields
        self._headers = {"Content-Type": "application/json"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"

    def request(self, call: Call, /) -> Outgoing:
        """Swaps the model and asks a stream for its usage; what the provider takes goes as it came."""
        body, emulations, ignored = self._form.prepared(
            call.body, support=call.support, lenient=call.lenient
        )
        body["model"] = Raw(_encode(call.model))
        if call.stream:
            body["stream"] = _TRUE
            if self._reports_usage:
                body["stream_options"] = _with_usage(body.get("stream_options"))
        else:
            body.pop("stream", None)
            body.pop("stream_options", None)
        return Outgoing("/chat/completions", _encode(body), self._headers, emulations, ignored)

    def reply(self, call: Call, body: bytes, /) -> Whole:
        plain = _plain(body, _wanted(self._fields(call)))
        return self._looked_through(call, body) if plain is None else Whole((plain,))

    def _looked_through(self, call: Call, body: bytes) -> Whole:
        try:
            return self._read(call, body)
        except UpstreamError as error:
            error.used = peek_usage(body)
            raise

    def _read(self, call: Call, body: bytes) -> Whole:
        try:
            completion = _decode_object(body)
            _raise_if_error(completion, secrets=self._secrets)
            choices = _decode_objects(completion.get("choices", b"[]")) or []
            named = None
            if b'"reasoning' in body or _may_be_in_parts(body):
                named = _renamed(completion, choices, "message", self._fields(call))
        except _NOT_JSON as error:
            raise _not_a_completion() from error
        if not choices:
            raise UpstreamError("answered without choices", retryable=True)
        if not all(bytes(choice.get("message", b"")).startswith(b"{") for choice in choices):
            raise UpstreamError("answered with a choice without a message", retryable=True)
        if not self._is_gpt_oss(call):
            return Whole((named or body,))
        try:
            repaired = repair_reply(
                call, completion, choices, reasoning_names=_wanted(self._fields(call))
            )
        except _NOT_JSON as error:
            raise _not_a_completion() from error
        return Whole((repaired.document or named or body,), repaired.repairs)

    def decoder(self, call: Call, /) -> ChatDecoder:
        repair, fields = None, self._fields(call)
        if self._is_gpt_oss(call):
            repair = StreamRepair(call, reasoning_names=_wanted(fields))
        return ChatDecoder(call, reasoning_fields=fields, secrets=self._secrets, repair=repair)

    def recovered(self, call: Call, status: int, body: bytes, /) -> Whole | None:
        """Reads the call in a ``failed_generation``: what the provider's own reader gave up on."""
        if status != 400 or not self._is_gpt_oss(call):
            return None
        chunks = _recovered(call, body)
        return None if chunks is None else Whole(chunks, _FAILED_GENERATION)

    def _fields(self, call: Call) -> _Shown:
        """Returns under which names the caller gets the reasoning; it may not want it."""
        options = None if self._hides_itself else call.body.get("reasoning")
        if options and _decode_any(options).get("exclude"):
            return "none"
        return self._reasoning_fields

    def _is_gpt_oss(self, call: Call) -> bool:
        return self._reads_all or call.model in self._gpt_oss or is_gpt_oss(call.model)

    def error(self, status: int, headers: Mapping[str, str], body: bytes, /) -> UpstreamError:
        fault = _fault(body, secrets=self._secrets)
        if fault.status is not None and status < 400:
            status = fault.status
        if status in CALLERS_MISTAKES and not _not_the_callers(fault):
            return UpstreamError(
                f"refused the request with status {status}: {fault.message}",
                retryable=False,
                status=status,
                public=fault.message or f"the provider refused the request with status {status}",
                code=_code(fault),
                param=fault.param,
                limit=_is_limit(fault),
            )
        public = _in_words(status)
        return UpstreamError(
            f"{public}: {fault.message}" if fault.message else public,
            retryable=True,
            status=status,
            public=public,
            code=fault.code,
            timed_out=status in (408, 504),
            retry_after_s=_retry_after_s(headers, now=time.time()),
        )


class ChatDecoder:
    """Passes chat chunks through and looks only into those that may need it."""

    def __init__(
        self,
        call: Call,
        *,
        reasoning_fields: _Shown,
        secrets: Collection[str] = (),
        repair: StreamRepair | None = None,
    ) -> None:
        self.done = False
        self.repairs: Collection[str] = () if repair is None else repair.repairs
        self._call = call
        self._repair = repair
        self._secrets = secrets
        self._reasoning_fields: _Shown = reasoning_fields
        self._committed = False
        self._failure: UpstreamError | None = None
        self._names = [name.encode() for name in _wanted(reasoning_fields)]
        self._alike: _Alike | None = None
        self._withheld: list[bytes] = []
        self._withheld_bytes = 0
        self._recent: deque[bytes] = deque(maxlen=_RECENT)

    def decode(self, payloads: Sequence[bytes], /) -> Sequence[bytes]:
        chunks: list[bytes] = []
        for payload in payloads:
            if self._alike is not None and (chunk := self._alike.chunk(payload)) is not None:
                self._recent.append(chunk)
                chunks.append(chunk)
            elif not self.done:
                chunks += self._alone(payload)
            elif self._failure is not None:
                self._recent.append(payload)  # it may tell what was used
        return chunks if self._committed else self._until_commit(chunks)

    def flush(self) -> Sequence[bytes]:
        try:
            return self._rest()
        except UpstreamError as error:
            error.used = next(filter(None, map(peek_usage, reversed(self._recent))), None)
            raise

    def _rest(self) -> Sequence[bytes]:
        if self._failure is not None:
            raise self._failure
        finished = any(map(_FINISHED.search, self._recent))
        if not (self.done or finished):
            raise UpstreamError("broke off its stream", retryable=True)
        rest: Sequence[bytes] = ()
        if self._repair is not None:
            last = self._recent[-1] if self._recent else None
            rest = self._end_of(self._repair, last, finished=finished)
            if not self._committed:
                rest = self._until_commit([*rest])
        if not self._committed:
            raise UpstreamError("sent a stream without content", retryable=True, empty=True)
        return rest

    def _alone(self, payload: bytes) -> list[bytes]:
        """Looks at what a payload needs; the next ones need the same if they are like it."""
        self._alike = None
        out: list[bytes] = []
        try:
            chunks = self._chunks(payload)
            self._recent.extend(chunks)
            for chunk in chunks:
                if self._repair is None or self._repair.passes(chunk):
                    out.append(chunk)
                    self._alike = _Alike.to(payload, self._names)
                else:
                    self._alike = None
                    out += self._repair.feed(chunk)
        except UpstreamError as error:
            self._fail(error)  # by flush, so that the chunks before it are delivered first
        except _NOT_JSON:
            self._fail(_not_a_chunk())
        return out

    def _chunks(self, payload: bytes) -> list[bytes]:
        """Returns the chunk, or the chunks, that a payload stands for; none if it stands for nothing."""
        # The braces are all that is checked of a chunk that nothing else needs decoded.
        if payload[:1] == b"{" and payload[-1:] == b"}" and b'"error"' not in payload:
            if b'"reasoning' in payload or _may_be_in_parts(payload):
                return [self._named(payload)]
            return [payload]
        stripped = payload.strip()
        if stripped == DONE:
            self.done = True
            return []
        if self._repair is not None and b'"failed_generation"' in payload:
            return self._late_call(self._repair, payload)
        return [self._looked_into(payload)] if stripped else []

    def _late_call(self, repair: StreamRepair, payload: bytes) -> list[bytes]:
        """Reads the call in an error that comes after the status, if no content came before it."""
        chunks = _recovered(self._call, payload) if repair.waiting else None
        if chunks is None:
            return [self._looked_into(payload)]
        repair.repairs.update(_FAILED_GENERATION)
        self.done = True
        return chunks

    def _end_of(self, repair: StreamRepair, last: bytes | None, *, finished: bool) -> list[bytes]:
        try:
            return repair.flush(last, finished=finished)
        except _NOT_JSON as error:
            raise _not_a_chunk() from error

    def _named(self, payload: bytes) -> bytes:
        """Gives reasoning its wanted names; where a delta holds nothing else, without decoding."""
        bare = _BARE_DELTA.search(payload)
        if bare is None or bare["name"] == b"content" or payload.count(b'"reasoning') > 1:
            return self._looked_into(payload)
        named = b",".join([b'"%b":"%b"' % (name, bare["words"]) for name in self._names])
        return b'%b"delta":{%b}%b' % (payload[: bare.start()], named, payload[bare.end() :])

    def _looked_into(self, payload: bytes) -> bytes:
        try:
            chunk = _decode_object(payload)
            _raise_if_error(chunk, secrets=self._secrets)
            choices = _decode_objects(chunk.get("choices", b"[]")) or []
            return _renamed(chunk, choices, "delta", self._reasoning_fields) or payload
        except _NOT_JSON as error:
            raise _not_a_chunk() from error

    def _until_commit(self, chunks: list[bytes]) -> list[bytes]:
        self._withheld += chunks
        try:
            self._committed = any(map(_commits, chunks)) or len(self._withheld) > _MAX_WITHHELD
        except UpstreamError as error:
            self._fail(error)
        if not self._committed:
            self._withheld_bytes += sum(map(len, chunks))
            if self._withheld_bytes > _MAX_WITHHELD_BYTES:
                self._withheld.clear()
                self._fail(
                    UpstreamError(
                        f"sent more than {_MAX_WITHHELD_BYTES} bytes without content",
                        retryable=True,
                    )
                )
            return []
        chunks, self._withheld = self._withheld, []
        return chunks

    def _fail(self, error: UpstreamError) -> None:
        self.done = True
        self._failure = error


class _Alike:
    """The form of a chunk that passed: others that differ from it in their words alone pass as well.

    Most streams repeat everything else, so that looking at the few words is enough. What may become a
    marker in them has to be looked at like any other chunk.
    """

    __slots__ = ("_after", "_around", "_before", "_start")

    def __init__(self, before: bytes, after: bytes, around: Sequence[bytes]) -> None:
        self._before = before
        self._after = after
        self._around = around
        self._start = len(before)

    @classmethod
    def to(cls, payload: bytes, reasoning_names: Sequence[bytes]) -> _Alike | None:
        """Returns the form of a payload that has passed, None if that was not for any words."""
        bare = _BARE_DELTA.search(payload)
        if bare is None or not bare["words"]:  # whether content has begun is not theirs to tell
            return None
        start, end = bare.span("words")
        before, after = payload[:start], payload[end:]
        reasoning = payload.count(b'"reasoning')
        if bare["name"] == b"content":
            return None if reasoning else cls(before, after, ())
        if reasoning > 1 or not reasoning_names:
            return None
        delta = payload[: bare.start("name") - 1]
        first, *others = [b'"%b":"' % name for name in reasoning_names]
        return cls(before, after, [delta + first, *[b'",' + other for other in others], after])

    def chunk(self, payload: bytes) -> bytes | None:
        """Returns the chunk that the payload becomes, None if it is not of this form."""
        if not payload.startswith(self._before):
            return None
        end = _match_words(payload, self._start).end()  # type: ignore[union-attr]  # none match, too
        if payload[end:] != self._after:
            return None
        return payload[self._start : end].join(self._around) if self._around else payload


class _PlainMessage(Struct):
    content: str
    reasoning: Raw = Raw()
    reasoning_content: Raw = Raw()
    refusal: Raw = Raw(b"null")
    tool_calls: Raw = Raw(b"null")


class _PlainChoice(Struct):
    message: _PlainMessage
    finish_reason: Literal["stop", "length"]


class _PlainCompletion(Struct):
    choices: Annotated[list[_PlainChoice], Meta(min_length=1, max_length=1)]
    error: None = None


_decode_plain = msgspec.json.Decoder(_PlainCompletion).decode


def _plain(body: bytes, wanted: Sequence[str]) -> bytes | None:
    """Returns an answer in words that may pass, its reasoning named; None if it needs a closer look."""
    try:
        message = _decode_plain(body).choices[0].message
    except _NOT_JSON:
        return None
    if not is_plain_answer(message.content):
        return None
    if bytes(message.refusal) not in _EMPTY or bytes(message.tool_calls) not in _EMPTY:
        return None
    told = {name: raw for name in _REASONING if (raw := bytes(getattr(message, name)))}
    if not told:
        return body
    if any(raw[:1] != b'"' or b"<" in raw or b"u003" in raw for raw in told.values()):
        return None
    if tuple(told) == wanted:
        return body
    ((name, raw), *others) = told.items()
    said = b'"%b":%b' % (name.encode(), raw)
    if others or tuple(wanted) != _REASONING or body.count(said) != 1:
        return None
    return body.replace(said, b",".join([b'"%b":%b' % (one.encode(), raw) for one in wanted]))


def _recovered(call: Call, body: bytes) -> list[bytes] | None:
    try:
        document = _decode_any(body)
    except _NOT_JSON:
        return None
    error = document.get("error") if isinstance(document, dict) else None
    if not isinstance(error, dict) or error.get("code") != _TOOL_USE_FAILED:
        return None
    generation = error.get("failed_generation")
    return recover(call, generation) if isinstance(generation, str) else None


def _commits(chunk: bytes) -> bool:
    try:
        choices = _decode_objects(_decode_object(chunk).get("choices", b"[]")) or []
        deltas = [_decode_delta(choice.get("delta", b"null")) or {} for choice in choices]
    except _NOT_JSON as error:
        raise _not_a_chunk() from error
    return any(bytes(c.get("finish_reason", b"null")) not in _EMPTY for c in choices) or any(
        name != "role" and bytes(value) not in _EMPTY
        for delta in deltas
        for name, value in delta.items()
    )


def _not_a_completion() -> UpstreamError:
    return UpstreamError("answered with something that is not a chat completion", retryable=True)


def _not_a_chunk() -> UpstreamError:
    return UpstreamError("sent something that is not a chat completion chunk", retryable=True)


def _with_usage(options: Raw | None) -> Raw:
    if options is None or bytes(options) == b"null":
        return _INCLUDE_USAGE
    return Raw(_encode({**_decode_object(options), "include_usage": True}))


def _renamed(
    document: dict[str, Raw],
    choices: list[dict[str, Raw]],
    holder: Literal["message", "delta"],
    fields: _Shown,
) -> bytes | None:
    """Returns the document with texts, and reasoning under the wanted names, None if it is so already."""
    changed = False
    for choice in choices:
        if holder in choice:
            inner = _decode_delta(choice[holder])
            if inner and _join(inner) | _rename(inner, fields):
                choice[holder] = Raw(_encode(inner))
                changed = True
    if not changed:
        return None
    document["choices"] = Raw(_encode(choices))
    return _encode(document)


def _may_be_in_parts(document: bytes) -> bool:
    return b'"content":[' in document or b'"content": [' in document


def _join(holder: dict[str, Raw]) -> bool:
    """Writes content that comes in parts, reasoning among them, as the texts that they make together.

    So do Databricks (``reasoning``) and Mistral (``thinking``). What else there is in parts stays.
    """
    content = holder.get("content", b"")
    if not bytes(content).startswith(b"["):
        return False
    texts: list[str] = []
    thoughts: list[str] = []
    for part in _decode_any(content):
        match part:
            case {"type": "text", "text": str(text)}:
                texts.append(text)
            case {"type": "reasoning", "summary": [*within]} | {
                "type": "thinking",
                "thinking": [*within],
            }:
                thoughts += [
                    one["text"]
                    for one in within
                    if isinstance(one, dict) and isinstance(one.get("text"), str)
                ]
            case _:
                return False
    holder["content"] = Raw(_encode("".join(texts) if texts else None))
    if thoughts:
        holder.setdefault("reasoning", Raw(_encode("".join(thoughts))))
    return True


def _rename(holder: dict[str, Raw], fields: _Shown) -> bool:
    texts = {name: raw for name in _REASONING if (raw := holder.get(name)) and _is_text(raw)}
    wanted = _wanted(fields)
    if not texts or tuple(texts) == wanted:
        return False
    text = next(iter(texts.values()))
    for name in _REASONING:
        holder.pop(name, None)
    holder.update(dict.fromkeys(wanted, text))
    return True


def _wanted(fields: _Shown) -> tuple[str, ...]:
    match fields:
        case "both":
            return _REASONING
        case "none":
            return ()
    return (fields,)


def _is_text(raw: Raw) -> bool:
    return bytes(raw).startswith(b'"')


class _Fault(NamedTuple):
    """What an upstream said of a failure, cleaned: callers may read all of it."""

    message: str = ""
    code: str | None = None
    param: str | None = None
    kind: str | None = None
    status: int | None = None


def _raise_if_error(document: Mapping[str, Raw], *, secrets: Collection[str]) -> None:
    """A provider that fails after its 200 says so in an ``error`` where a chunk was due."""
    if bytes(document.get("error", b"null")) != b"null":
        raise _late_error(_fault(_encode(document), secrets=secrets))


def _late_error(fault: _Fault) -> UpstreamError:
    blames_caller = fault.status in CALLERS_MISTAKES or (
        fault.status is None and fault.kind == "invalid_request_error"
    )
    callers = blames_caller and not _not_the_callers(fault)
    return UpstreamError(
        f"reported an error after its status: {fault.message or 'no reason given'}",
        retryable=not callers,
        status=fault.status or (400 if callers else None),
        public=fault.message if callers and fault.message else "reported an error in its reply",
        code=_code(fault),
        param=fault.param,
        limit=callers and _is_limit(fault),
    )


def _is_limit(fault: _Fault) -> bool:
    """Tells what is beyond this provider from what nobody would serve."""
    return any(text and _LIMITS.search(text) for text in (fault.message, _code(fault)))


def _not_the_callers(fault: _Fault) -> bool:
    """Tells what the model or the router's own key did, though it comes as an invalid request."""
    return (
        fault.code in _MODELS_MISTAKES
        or any(word and _OUR_ACCOUNT.search(word) for word in (fault.code, fault.kind))
        or _OUR_KEY.search(fault.message) is not None
    )


def _fault(body: bytes, *, secrets: Collection[str]) -> _Fault:
    """Reads the error shapes met in the field: OpenAI's object, a bare string, lists of details."""
    try:
        document = _decode_any(body)
    except _NOT_JSON:
        return _Fault()
    if isinstance(document, list) and document:
        document = document[0]
    if not isinstance(document, dict):
        return _Fault()
    # "errors" is Cloudflare's.
    named = (document.get(name) for name in ("error", "detail", "errors"))
    error: Any = next(filter(None, named), document)
    if isinstance(error, list):
        error = {"message": "; ".join(_detail(entry) for entry in error)}
    if isinstance(error, str):
        error = {"message": error}
    if not isinstance(error, dict):
        return _Fault()
    code = error.get("code")
    return _Fault(
        message=_clean(
            _text(error.get("message")) or _text(error.get("detail")) or "", secrets=secrets
        ),
        code=_word(code, secrets=secrets),
        param=_clean(_text(error.get("param")) or "", secrets=secrets, most=_MAX_PARAM) or None,
        kind=_word(error.get("type"), secrets=secrets),
        status=code if isinstance(code, int) and 400 <= code < 600 else None,
    )


def _detail(entry: Any) -> str:
    if not isinstance(entry, dict):
        return _text(entry) or ""
    steps, sentence = entry.get("loc"), _text(entry.get("msg") or entry.get("message")) or ""
    if not isinstance(steps, list):
        return sentence
    where = ".".join(str(s) for s in steps if isinstance(s, str | int) and s != "body")
    return f"{where}: {sentence}" if where else sentence


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _word(value: Any, *, secrets: Collection[str]) -> str | None:
    """Returns what can be a name, None for anything else: codes are logged, and prompts never."""
    if not isinstance(value, str) or any(secret in value for secret in secrets):
        return None
    return value if _NAME.fullmatch(value) else None


def _code(fault: _Fault) -> str | None:
    return "context_length_exceeded" if _CONTEXT.search(fault.message) else fault.code


_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")

_OUR_ACCOUNT = re.compile(
    r"api.?key|authenticat|authoriz|permission|forbidden|quota|billing", re.IGNORECASE
)
_OUR_KEY = re.compile(
    r"(?:incorrect|invalid|missing) api.?key|api.?key (?:is )?(?:not valid|invalid)", re.IGNORECASE
)

_CONTEXT = re.compile(
    r"context.?(?:length|window|size)|maximum.{0,20}(?:prompt|input|sequence).{0,10}(?:length|tokens)"
    r"|(?:prompt|input) is too long|too many (?:input |prompt )?tokens",
    re.IGNORECASE,
)

_LIMITS = re.compile(
    r"context_length_exceeded|unsupported|not (?:yet |currently )?supported|does not support",
    re.IGNORECASE,
)

_KEY_LIKE = re.compile(
    r"\bBearer\s+\S+|\b(?:sk|gsk|csk|hf|fw|tgp|nvapi|xai|tl)[-_][\w*\-]{6,}|\b\w{40,}",
    re.IGNORECASE,
)


def _clean(sentence: str, *, secrets: Collection[str], most: int = _MAX_SENTENCE) -> str:
    """Returns one printable line of at most ``most`` characters, without what looks like a key."""
    for secret in secrets:
        sentence = sentence.replace(secret, "…")
    sentence = _KEY_LIKE.sub("…", " ".join(sentence[: 8 * most].split()))
    sentence = "".join(character for character in sentence if character.isprintable())
    return sentence if len(sentence) <= most else f"{sentence[: most - 1]}…"


def _in_words(status: int) -> str:
    match status:
        case 401 | 403:
            return f"did not accept the router's key (status {status})"
        case 402:
            return "wants payment (status 402)"
        case 404 | 405 | 410:
            return f"does not serve this model at this address (status {status})"
        case 429:
            return "is rate limited (status 429)"
        case _ if 300 <= status < 400:
            return f"answered with a redirect, which is not followed (status {status})"
        case _ if status < 300:
            return "answered with something that is not a stream"
        case _:
            return f"failed with status {status}"


def _retry_after_s(headers: Mapping[str, str], *, now: float) -> float | None:
    """Reads Retry-After, in seconds or as a date, and OpenAI's finer ``retry-after-ms``."""
    in_ms = _number(headers.get("retry-after-ms"))
    if in_ms is not None:
        return min(in_ms / 1000, _MAX_RETRY_AFTER_S)
    value = headers.get("Retry-After")
    seconds = _number(value)
    if seconds is None and value:
        try:
            seconds = max(email.utils.parsedate_to_datetime(value).timestamp() - now, 0.0)
        except ValueError:
            return None
    return None if seconds is None else min(seconds, _MAX_RETRY_AFTER_S)


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
