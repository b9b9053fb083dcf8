"""Harmony, the conversation format of gpt-oss: render a prompt, parse what the model answers.

Rendering and parsing work on text and markers, never on token ids, so they serve any vocabulary.
The format is described at https://cookbook.openai.com/articles/openai-harmony; where we differ
from the openai-harmony package on purpose, tests/unit/test_harmony_reference.py says why.
"""

from trunkline.wire.harmony.markers import Marker, Piece, defuse
from trunkline.wire.harmony.parse import (
    Arguments,
    CallStart,
    Content,
    Delta,
    End,
    Header,
    Parser,
    Reasoning,
    match_tool,
)
from trunkline.wire.harmony.render import Effort, Persona, ResponseFormat, render

__all__ = [
    "Arguments",
    "CallStart",
    "Content",
    "Delta",
    "Effort",
    "End",
    "Header",
    "Marker",
    "Parser",
    "Persona",
    "Piece",
    "Reasoning",
    "ResponseFormat",
    "defuse",
    "match_tool",
    "render",
]
