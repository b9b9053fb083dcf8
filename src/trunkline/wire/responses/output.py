"""Output items: what a response is made of, as published."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from trunkline.wire.chat import TokenLogprob

ItemStatus = Literal["in_progress", "completed", "incomplete"]


class OutputText(Struct, kw_only=True, tag_field="type", tag="output_text"):
    """A message's part of text."""

    text: str
    annotations: list[Any] = []
    logprobs: list[TokenLogprob] = []


class Refusal(Struct, kw_only=True, tag_field="type", tag="refusal"):
    """A message's part in which the model refuses."""

    refusal: str


class ReasoningText(Struct, kw_only=True, tag_field="type", tag="reasoning_text"):
    """A reasoning item's part: what the model thought, as it thought it."""

    text: str


class SummaryText(Struct, kw_only=True, tag_field="type", tag="summary_text"):
    """A part of a reasoning item's summary."""

    text: str


Part = OutputText | Refusal | ReasoningText


class OutputMessage(Struct, kw_only=True, tag_field="type", tag="message"):
    """What the model says."""

    id: str
    status: ItemStatus
    role: Literal["assistant"] = "assistant"
    content: list[OutputText | Refusal] = []


class ReasoningItem(Struct, kw_only=True, tag_field="type", tag="reasoning"):
    """What the model thought; ``encrypted_content`` is the same, sealed, for callers who keep it."""

    id: str
    summary: list[SummaryText] = []
    content: list[ReasoningText] | UnsetType = UNSET
    encrypted_content: str | UnsetType = UNSET
    status: ItemStatus | UnsetType = UNSET


class FunctionCall(Struct, kw_only=True, tag_field="type", tag="function_call"):
    """A call of a function that the caller runs; ``arguments`` is JSON as text."""

    id: str
    call_id: str
    name: str
    arguments: str
    status: ItemStatus
    namespace: str | UnsetType = UNSET


class CustomToolCall(Struct, kw_only=True, tag_field="type", tag="custom_tool_call"):
    """A call of a custom tool, whose input is free text."""

    id: str
    call_id: str
    name: str
    input: str
    status: ItemStatus
    namespace: str | UnsetType = UNSET


class LocalShellAction(Struct, kw_only=True, tag_field="type", tag="exec"):
    """What a ``local_shell_call`` asks for: one program with its arguments."""

    command: list[str]
    env: dict[str, str] = {}
    timeout_ms: int | None = None
    user: str | None = None
    working_directory: str | None = None


class LocalShellCall(Struct, kw_only=True, tag_field="type", tag="local_shell_call"):
    """A program that the caller runs."""

    id: str
    call_id: str
    action: LocalShellAction
    status: ItemStatus


class ShellAction(Struct, kw_only=True):
    """What a ``shell_call`` asks for: lines for a shell."""

    commands: list[str]
    timeout_ms: int | None = None
    max_output_length: int | None = None


class ShellCall(Struct, kw_only=True, tag_field="type", tag="shell_call"):
    """Shell commands that the caller runs."""

    id: str
    call_id: str
    action: ShellAction
    status: ItemStatus
    environment: None = None


class CreateFile(Struct, kw_only=True, tag_field="type", tag="create_file"):
    """``operation`` of a patch: ``diff`` has the lines of a new file."""

    path: str
    diff: str


class UpdateFile(Struct, kw_only=True, tag_field="type", tag="update_file"):
    """``operation`` of a patch: ``diff`` has what changes in a file."""

    path: str
    diff: str


class DeleteFile(Struct, kw_only=True, tag_field="type", tag="delete_file"):
    """``operation`` of a patch."""

    path: str


class ApplyPatchCall(Struct, kw_only=True, tag_field="type", tag="apply_patch_call"):
    """A change of a file that the caller makes; ``status`` says whether the call is whole."""

    id: str
    call_id: str
    operation: CreateFile | UpdateFile | DeleteFile
    status: ItemStatus


class ToolSearchCall(Struct, kw_only=True, tag_field="type", tag="tool_search_call"):
    """A search for tools that the caller makes."""

    id: str
    call_id: str
    arguments: Any
    status: ItemStatus
    execution: Literal["client"] = "client"


class MCPToolExecutionError(Struct, tag_field="type", tag="mcp_tool_execution_error"):
    """A tool says that it failed: ``content`` is what it says, in blocks as MCP has them."""

    content: list[Any]


class MCPProtocolError(Struct, tag_field="type", tag="mcp_protocol_error"):
    """A server answered with an error of JSON-RPC, or with what is no answer."""

    code: int
    message: str


class MCPHTTPError(Struct, tag_field="type", tag="http_error"):
    """A server answered with a status, or not at all: ``code`` is then 502, or 504 if it took too long."""

    code: int
    message: str


MCPFault = MCPToolExecutionError | MCPProtocolError | MCPHTTPError
"""``error`` of a call that was run here."""


class MCPListedTool(Struct, kw_only=True):
    """A tool in a listing; of its ``annotations`` there is ``read_only``, which its server claims."""

    name: str
    input_schema: dict[str, Any]
    description: str | None = None
    annotations: dict[str, Any] | None = None


class MCPListTools(Struct, kw_only=True, tag_field="type", tag="mcp_list_tools"):
    """The tools of a server that may be called."""

    id: str
    server_label: str
    tools: list[MCPListedTool] = []


class MCPCall(Struct, kw_only=True, tag_field="type", tag="mcp_call"):
    """A call of a tool that was run here, with what came of it."""

    id: str
    server_label: str
    name: str
    arguments: str
    status: Literal["in_progress", "completed", "incomplete", "calling", "failed"]
    output: str | None = None
    error: MCPFault | None = None
    approval_request_id: str | None = None


WholeCall = LocalShellCall | ShellCall | ApplyPatchCall | ToolSearchCall
"""Calls that are told in one piece: what they hold is known only once the arguments are whole."""

OutputItem = (
    OutputMessage
    | ReasoningItem
    | FunctionCall
    | CustomToolCall
    | LocalShellCall
    | ShellCall
    | ApplyPatchCall
    | ToolSearchCall
    | MCPListTools
    | MCPCall
)
"""An item of ``output``."""
