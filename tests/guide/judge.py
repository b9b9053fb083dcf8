"""Did a script of the guide print what its reader expects?"""

from __future__ import annotations

import ast
import re


def is_fun_fact(printed: str) -> bool:
    """A sentence about the Eiffel Tower."""
    return "Eiffel Tower" in printed and printed.strip().endswith((".", "!"))


def is_weather_call(printed: str) -> bool:
    """A call of get_current_weather with Paris and celsius, in the client's own notation."""
    arguments = re.search(r"arguments='(\{.*?\})', name='get_current_weather'", printed)
    if arguments is None:
        return False
    return bool(ast.literal_eval(arguments[1]) == {"location": "Paris", "unit": "celsius"})


def is_extraction(printed: str) -> bool:
    """Amélie, chef, Paris."""
    wanted = {"name": "Amélie", "city": "Paris", "profession": "chef"}
    return bool(ast.literal_eval(printed) == wanted)


def is_story_in_events(printed: str) -> bool:
    """A response's events, one a line, whose deltas are the sentences of the last one."""
    lines = printed.splitlines()
    deltas = [line for line in lines if line.startswith("ResponseTextDeltaEvent(")]
    if not lines or not lines[0].startswith("ResponseCreatedEvent("):
        return False
    told = "".join(ast.literal_eval(_DELTA.findall(line)[0]) for line in deltas)
    return len(deltas) > 5 and f"text={told!r}" in lines[-1].split("ResponseCompletedEvent(")[-1]


_DELTA = re.compile(r" delta=('.*?'|\".*?\"), item_id=")


def is_call_in_response(printed: str) -> bool:
    """A response that ends in a call of get_current_weather for Boston."""
    call = re.search(
        r"ResponseFunctionToolCall\(arguments='(\{.*?\})', .*?name='get_current_weather'", printed
    )
    if not printed.startswith("Response(") or call is None:
        return False
    arguments = ast.literal_eval(call[1])
    return arguments["location"].startswith("Boston") and arguments["unit"] in _UNITS


_UNITS = ("celsius", "fahrenheit")


def is_greeting_after_reasoning(printed: str) -> bool:
    """Two items: the raw reasoning, then a message that says hello."""
    return bool(
        re.fullmatch(
            r"Output #0: reasoning \[Content\(text='.+', type='reasoning_text'\)\]\n"
            r"Output #1: message \[ResponseOutputText\(.*text='[^']*[Hh]ello[^']*', .*\)\]\n",
            printed,
        )
    )


SCRIPTS = {
    "fun_fact": is_fun_fact,
    "weather_tool": is_weather_call,
    "structured_output": is_extraction,
    "responses_stream": is_story_in_events,
    "responses_tool": is_call_in_response,
    "responses_effort": is_greeting_after_reasoning,
}
"""The scripts, each with its judge."""
