"""Tools that the caller runs, as functions: all that a chat model knows is functions.

Out: what each is to the model, and the item that its call becomes. In: what such an item, and its output,
were to the model when they are part of the history.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from trunkline.wire.responses.output import (
    ApplyPatchCall,
    CreateFile,
    DeleteFile,
    LocalShellAction,
    LocalShellCall,
    ShellAction,
    ShellCall,
    ToolSearchCall,
    UpdateFile,
    WholeCall,
)

Json = dict[str, Any]

_LONGEST_NAME = 64
_HASHED = 8
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_.-]")


def chat_name(name: str, namespace: str = "") -> str:
    """Returns the name of a tool as a function: ``namespace__name``, of 64 characters at most.

    What does not fit is cut, and told apart by a hash; the same tool always has the same name.
    """
    full = f"{namespace}__{name}" if namespace else name
    fitting = _NOT_IN_NAMES.sub("_", full)
    if fitting == full and len(full) <= _LONGEST_NAME:
        return full
    return other_name(fitting, full)


def other_name(name: str, full: str) -> str:
    """Returns a name that no other tool has, for one whose name is taken or does not fit."""
    hashed = hashlib.sha256(full.encode("utf-8", "surrogatepass")).hexdigest()[:_HASHED]
    return f"{name[: _LONGEST_NAME - _HASHED - 1]}_{hashed}"


# ---------------------------------------------------------------------------------------------- custom

INPUT = "input"
"""The one argument of a custom tool as a function."""


def custom_function(name: str, description: str | None, grammar: Json | None) -> Json:
    """Returns the function that a custom tool is to the model: of one text."""
    about = [description] if description else []
    about.append(f"(The text goes whole into the argument '{INPUT}', as it is.)")
    if grammar:
        about.append(
            f"The text must fit this {grammar.get('syntax')} grammar:\n{grammar.get('definition')}"
        )
    return {
        "name": name,
        "description": "\n\n".join(about),
        "parameters": {
            "type": "object",
            "properties": {INPUT: {"type": "string"}},
            "required": [INPUT],
            "additionalProperties": False,
        },
    }


_OPENING = re.compile(r'\s*\{\s*"' + INPUT + r'"\s*:\s*"')
_PLAIN = re.compile(r'[^"\\]+')
_UNICODE = re.compile(r"\\u([0-9a-fA-F]{4})")
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class Unwrapping:
    """Takes the text out of ``{"input": "…"}`` while it arrives, cut anywhere.

    A model that writes something else than asked is taken at its word in the end: one text under
    another name, a JSON string, any other JSON as it stands, or what is no JSON at all.
    """

    def __init__(self) -> None:
        self._held = ""  # what is not understood yet
        self._inside = False
        self._over = False
        self._high = ""  # the first half of a surrogate pair

    def feed(self, piece: str) -> str:
        """Returns what a piece of the arguments adds to the text."""
        if self._over:
            return ""
        self._held += piece
        if not self._inside:
            opening = _OPENING.match(self._held)
            if opening is None:
                return ""
            self._inside = True
            self._held = self._held[opening.end() :]
        return self._read()

    def end(self) -> str:
        """Returns what the end of the arguments adds to the text."""
        if self._inside:
            return self._flush()
        return _recovered(self._held)

    def _read(self) -> str:
        text, at, out = self._held, 0, []
        while at < len(text):
            if plain := _PLAIN.match(text, at):
                out.append(self._flush() + plain[0])
                at = plain.end()
                continue
            if text[at] == '"':
                self._over = True
                at = len(text)
                break
            length = 6 if text[at + 1 : at + 2] == "u" else 2
            escape = text[at : at + length]
            if len(escape) < length:
                break
            out.append(self._unescaped(escape))
            at += length
        self._held = text[at:]
        return "".join(out)

    def _unescaped(self, escape: str) -> str:
        if escape[1] != "u":
            return self._flush() + _ESCAPED.get(escape[1], escape[1])
        found = _UNICODE.fullmatch(escape)
        if found is None:  # no JSON, but it must be told
            return self._flush() + escape
        code = int(found[1], base=16)
        if 0xD800 <= code < 0xDC00:
            before, self._high = self._flush(), chr(code)
            return before
        if 0xDC00 <= code < 0xE000:
            pair, self._high = self._high + chr(code), ""
            return pair.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return self._flush() + chr(code)

    def _flush(self) -> str:
        """Returns a sign for half a character that the other half did not follow."""
        lone, self._high = self._high, ""
        return "\ufffd" if lone else ""


def _recovered(arguments: str) -> str:
    """Returns the text that was meant by arguments that are not as asked."""
    try:
        value = msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return arguments
    if isinstance(value, dict):
        texts = [text for text in value.values() if isinstance(text, str)]
        if isinstance(value.get(INPUT), str):
            return str(value[INPUT])
        if len(value) == 1 and texts:
            return texts[0]
        if INPUT in value:
            return msgspec.json.encode(value[INPUT]).decode()
        return "" if not value else arguments
    return value if isinstance(value, str) else arguments


# ------------------------------------------------------------- what is told in one piece: shells, patches

_MS: Json = {"type": "integer", "description": "milliseconds after which to give up"}

LOCAL_SHELL: Json = {
    "name": "local_shell",
    "description": "Runs a program on the user's machine and returns what it prints.",
    "parameters": {
        "type": "object",
        "properties": {
            "command": {
                "type": "array",
                "items": {"type": "string"},
                "description": 'the program and its arguments, as in ["ls", "-l"]',
            },
            "working_directory": {"type": "string"},
            "timeout_ms": _MS,
            "env": {"type": "object", "additionalProperties": {"type": "string"}},
            "user": {"type": "string"},
        },
        "required": ["command"],
    },
}
SHELL: Json = {
    "name": "shell",
    "description": "Runs shell commands on the user's machine, one after the other, and returns what "
    "each prints.",
    "parameters": {
        "type": "object",
        "properties": {
            "commands": {"type": "array", "items": {"type": "string"}},
            "timeout_ms": _MS,
            "max_output_length": {
                "type": "integer",
                "description": "characters of output to return at most",
            },
        },
        "required": ["commands"],
    },
}
APPLY_PATCH: Json = {
    "name": "apply_patch",
    "description": "Creates, changes or deletes one file of the user's. A diff has lines that begin with "
    "' ' (context), '-' (removed) or '+' (added), in sections that begin with '@@'; the diff of a new file has "
    "'+' lines only.",
    "parameters": {
        "type": "object",
        "properties": {
            "type": {"type": "string", "enum": ["create_file", "update_file", "delete_file"]},
            "path": {"type": "string"},
            "diff": {"type": "string", "description": "not for delete_file"},
        },
        "required": ["type", "path"],
    },
}
TOOL_SEARCH: Json = {
    "name": "tool_search",
    "description": "Searches for more tools; those that are found can be called from then on.",
    "parameters": {
        "type": "object",
        "properties": {"query": {"type": "string"}},
        "required": ["query"],
    },
}


def whole_call(kind: str, id: str, call_id: str, arguments: str) -> WholeCall:
    """Returns the item of a call that is told in one piece.

    Raises ValueError, in words for the model, for arguments that do not fit.
    """
    try:
        value = msgspec.json.decode(arguments or "{}")
        if not isinstance(value, dict):
            raise ValueError("the arguments must be a JSON object")
        return _WHOLE[kind](id, call_id, value)
    except msgspec.ValidationError as error:
        raise ValueError(f"the arguments do not fit: {error}") from error
    except msgspec.DecodeError as error:
        raise ValueError("the arguments are not JSON") from error


def _local_shell_call(id: str, call_id: str, value: Json) -> WholeCall:
    if isinstance(value.get("command"), str):
        value = {**value, "command": ["bash", "-lc", value["command"]]}
    if "env" in value and not value["env"]:
        value = {**value, "env": {}}
    action = msgspec.convert({**value, "type": "exec"}, LocalShellAction)
    return LocalShellCall(id=id, call_id=call_id, action=action, status="completed")


def _shell_call(id: str, call_id: str, value: Json) -> WholeCall:
    commands = value.get("commands", value.get("command"))
    if isinstance(commands, str):
        commands = [commands]
    action = msgspec.convert({**value, "commands": commands}, ShellAction)
    return ShellCall(id=id, call_id=call_id, action=action, status="completed")


def _apply_patch_call(id: str, call_id: str, value: Json) -> WholeCall:
    if isinstance(value.get("operation"), dict):
        value = value["operation"]
    operation = msgspec.convert(value, CreateFile | UpdateFile | DeleteFile)
    return ApplyPatchCall(id=id, call_id=call_id, operation=operation, status="completed")


def _tool_search_call(id: str, call_id: str, value: Json) -> WholeCall:
    return ToolSearchCall(id=id, call_id=call_id, arguments=value, status="completed")


_WHOLE: Mapping[str, Callable[[str, str, Json], WholeCall]] = {
    "local_shell_call": _local_shell_call,
    "shell_call": _shell_call,
    "apply_patch_call": _apply_patch_call,
    "tool_search_call": _tool_search_call,
}
WHOLE_PREFIXES: Mapping[str, str] = {
    "local_shell_call": "lsh",
    "shell_call": "sh",
    "apply_patch_call": "apc",
    "tool_search_call": "tsc",
}
"""The prefixes of the ids of calls that are told in one piece, by their kind."""


# -------------------------------------------------------------------------------------------- in history


class _Custom(Struct):
    name: str
    input: str
    namespace: str | None = None


class _LocalShell(Struct):
    action: dict[str, Any]


class _Shell(Struct):
    action: dict[str, Any]


class _ApplyPatch(Struct):
    operation: dict[str, Any]


class _ToolSearch(Struct):
    arguments: Any = None


def chat_call(kind: str, body: bytes) -> tuple[str, str]:
    """Returns name and arguments of the function call that an item was to the model.

    Raises msgspec.ValidationError for an item that is not as published, KeyError for another kind.
    """
    return _CALLS[kind](body)


def _custom(body: bytes) -> tuple[str, str]:
    item = msgspec.json.decode(body, type=_Custom)
    return chat_name(item.name, item.namespace or ""), _text({INPUT: item.input})


def _local_shell(body: bytes) -> tuple[str, str]:
    action = msgspec.json.decode(body, type=_LocalShell).action
    given = _given(action, without="type")
    if not given.get("env"):
        given.pop("env", None)  # the item must have one, the model need not have given it
    return "local_shell", _text(given)


def _shell(body: bytes) -> tuple[str, str]:
    return "shell", _text(_given(msgspec.json.decode(body, type=_Shell).action))


def _apply_patch(body: bytes) -> tuple[str, str]:
    return "apply_patch", _text(_given(msgspec.json.decode(body, type=_ApplyPatch).operation))


def _tool_search(body: bytes) -> tuple[str, str]:
    return "tool_search", _text(msgspec.json.decode(body, type=_ToolSearch).arguments or {})


_CALLS: Mapping[str, Callable[[bytes], tuple[str, str]]] = {
    "custom_tool_call": _custom,
    "local_shell_call": _local_shell,
    "shell_call": _shell,
    "apply_patch_call": _apply_patch,
    "tool_search_call": _tool_search,
}


class _Outcome(Struct, frozen=True):
    type: str = ""
    exit_code: int | None = None


class _ShellOutput(Struct):
    stdout: str = ""
    stderr: str = ""
    outcome: _Outcome = _Outcome()


class _ShellOutputs(Struct):
    output: list[_ShellOutput]


class _PatchOutput(Struct):
    status: str = ""
    output: str | None = None


class _TextOutput(Struct):
    output: str


class _Named(Struct):
    name: str = ""
    type: str = ""
    tools: list[_Named] = []


class _FoundTools(Struct):
    tools: list[_Named] = []


def chat_output(kind: str, body: bytes) -> str:
    """Returns what the model reads of the output of such a call; raises as `chat_call` does."""
    return _OUTPUTS[kind](body)


def _shell_output(body: bytes) -> str:
    told = []
    for output in msgspec.json.decode(body, type=_ShellOutputs).output:
        lines = [text.rstrip("\n") for text in (output.stdout, output.stderr) if text]
        if output.outcome.type == "timeout":
            lines.append("(timed out)")
        elif output.outcome.exit_code or not lines:
            lines.append(f"(exit code {output.outcome.exit_code or 0})")
        told.append("\n".join(lines))
    return "\n\n".join(told)


def _patch_output(body: bytes) -> str:
    output = msgspec.json.decode(body, type=_PatchOutput)
    return "\n".join(text for text in (output.status, output.output) if text)


def _text_output(body: bytes) -> str:
    return msgspec.json.decode(body, type=_TextOutput).output


def _search_output(body: bytes) -> str:
    names = [
        chat_name(tool.name, space.name if space is not tool else "")
        for space in msgspec.json.decode(body, type=_FoundTools).tools
        for tool in (space.tools if space.type == "namespace" else [space])
    ]
    return f"found: {', '.join(names)}" if names else "no tools were found"


_OUTPUTS: Mapping[str, Callable[[bytes], str]] = {
    "local_shell_call_output": _text_output,
    "shell_call_output": _shell_output,
    "apply_patch_call_output": _patch_output,
    "tool_search_output": _search_output,
}


def _given(fields: Json, *, without: str = "") -> Json:
    return {name: value for name, value in fields.items() if value is not None and name != without}


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
