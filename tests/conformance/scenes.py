"""What the official clients are asked to do, and what they must get: the same for each client.

The engine's answers are those of the shipped model at temperature 0.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from tests.serving import ECHO, NANO

QUESTION = "What is the capital of France?"
ASK: list[Any] = [{"role": "user", "content": QUESTION}]
ANSWER = {NANO: "The capital of France is Paris.", ECHO: f"echo: {QUESTION}"}
REASONING = {
    NANO: "The user asks for the capital of France. It is Paris.",
    ECHO: "Let me think.",
}

WEATHER = "What is the weather in Paris?"
ASK_WEATHER: list[Any] = [{"role": "user", "content": WEATHER}]
CITY = {NANO: "Paris", ECHO: "text"}
RESULT = '{"temperature": 21}'
AFTER_RESULT = {NANO: "The temperature is 21.", ECHO: f"echo: {RESULT}"}

EXTRACT = "Extract name and age as JSON: Alice is 30 years old."
ASK_EXTRACT: list[Any] = [{"role": "user", "content": EXTRACT}]


class Person(BaseModel):
    """A person."""

    name: str
    age: int


class GetWeather(BaseModel):
    """Get the weather for a city"""

    city: str


WEATHER_TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather for a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
