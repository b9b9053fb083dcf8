"""The provider simulator: a real HTTP server that plays providers, each in its own dialect.

In a test it runs on a thread of its own (``fixtures.py``); ``python -m tests.simulator --port 9000``
runs it as a process. What it answers follows from the request, from the model's name
(``sim/error-429``, ``sim/cut-3``…, see ``script.NAMED``) or from scripts queued for it. Under
``/v1`` it answers as OpenAI would, under ``/groq/openai/v1`` and the like as that provider does: see
``dialects.DIALECTS``.
"""

from tests.simulator.script import Call, Script
from tests.simulator.server import Seen, Simulator

__all__ = ["Call", "Script", "Seen", "Simulator"]
