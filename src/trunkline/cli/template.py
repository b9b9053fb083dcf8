"""The file that ``trunkline init`` writes, made from the same descriptions as the reference page."""

from __future__ import annotations

from trunkline.config import SECTIONS, Key, describe

_HEAD = """\
# The configuration of Trunkline. Every key is here with its default: to change one, remove its '#'.
# 'trunkline config check' says whether the file is right.
# A key of these sections can also be set in the environment, as TRUNKLINE_SERVER_PORT=7070.
"""

_PROVIDERS = """\
# Known providers need no table: their key in the environment is enough ('trunkline providers ls').

# Another provider that speaks OpenAI's Chat Completions. Its key stays out of this file: name the
# environment variable (api_key_env) or the file (api_key_file) that holds it. Prices are USD per
# 1M tokens.
#[providers.example]
#base_url = "https://api.example.com/v1"
#api_key_env = "EXAMPLE_API_KEY"
#[providers.example.models."openai/gpt-oss-20b"]
#id = "gpt-oss-20b"
#input = 0.05
#output = 0.20
#context = 131072

# A server of your own needs no key.
#[providers.workstation]
#base_url = "http://127.0.0.1:8000/v1"
#local = true
#models = { "openai/gpt-oss-120b" = {} }
"""


def config_file() -> str:
    """Returns the text of a configuration file in which every key is a comment."""
    sections = (
        f"[{name}]\n{''.join(map(_key, describe(struct)))}" for name, struct in SECTIONS.items()
    )
    return "\n".join((_HEAD, *sections, _PROVIDERS))


def _key(key: Key) -> str:
    described = f"# {key.description} ({key.type})\n"
    return f"{described}#{key.name} = {key.example}\n"
