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


SCRIPTS = {
    "fun_fact": is_fun_fact,
    "weather_tool": is_weather_call,
    "structured_output": is_extraction,
}
"""The scripts, each with its judge."""
