"""Stand-ins for the inference servers of one's own machine: what each answers to a GET, and nothing else.

The bodies have the shape of what the servers answer (Ollama 0.12, LM Studio 0.3, llama.cpp b6500, SGLang 0.5,
vLLM 0.11), cut to what tells them apart.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answers = Mapping[str, tuple[int, Any]]
"""Status and JSON by path; any other path gets the answer of ``""``."""

_NOT_FOUND = (404, {"detail": "Not Found"})

OLLAMA: Answers = {
    "": (404, "404 page not found"),
    "/api/version": (200, {"version": "0.12.3"}),
    "/api/tags": (
        200,
        {
            "models": [
                {
                    "name": name,
                    "model": name,
                    "modified_at": "2026-11-01T10:00:00Z",
                    "size": 13_793_441_244,
                    "digest": "aa4295ac10c3",
                    "details": {"format": "gguf", "family": family, "quantization_level": "MXFP4"},
                }
                for name, family in (("gpt-oss:20b", "gptoss"), ("nomic-embed-text:latest", "nomic-bert"))
            ]
        },
    ),
    "/v1/models": (
        200,
        {
            "object": "list",
            "data": [
                {"id": name, "object": "model", "created": 1_762_000_000, "owned_by": "library"}
                for name in ("gpt-oss:20b", "nomic-embed-text:latest")
            ],
        },
    ),
}  # fmt: skip

LM_STUDIO: Answers = {
    "": (200, {"error": "Unexpected endpoint or method. (GET /api/tags)"}),
    "/api/v0/models": (
        200,
        {
            "object": "list",
            "data": [
                {
                    "id": "openai/gpt-oss-20b",
                    "object": "model",
                    "type": "llm",
                    "publisher": "openai",
                    "arch": "gpt-oss",
                    "compatibility_type": "gguf",
                    "state": "loaded",
                    "max_context_length": 131_072,
                    "loaded_context_length": 8192,
                },
                {
                    "id": "text-embedding-nomic-embed-text-v1.5",
                    "object": "model",
                    "type": "embeddings",
                    "state": "not-loaded",
                    "max_context_length": 2048,
                },
            ],
        },
    ),
    "/v1/models": (
        200,
        {
            "object": "list",
            "data": [
                {"id": name, "object": "model", "owned_by": "organization_owner"}
                for name in ("openai/gpt-oss-20b", "text-embedding-nomic-embed-text-v1.5")
            ],
        },
    ),
}

LLAMA_CPP: Answers = {
    "": (404, {"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}}),
    "/api/tags": (200, {"models": [{"name": "x"}], "object": "list", "data": []}),
    "/props": (
        200,
        {
            "default_generation_settings": {"id": 0, "n_ctx": 16_384, "params": {}},
            "total_slots": 4,
            "model_path": "/models/gpt-oss-120b-mxfp4-00001-of-00003.gguf",
            "build_info": "b6500-a1b2c3d",
        },
    ),
    "/v1/models": (
        200,
        {
            "object": "list",
            "data": [
                {
                    "id": "/models/gpt-oss-120b-mxfp4-00001-of-00003.gguf",
                    "object": "model",
                    "owned_by": "llamacpp",
                    "meta": {"n_ctx_train": 131_072, "n_vocab": 201_088},
                }
            ],
        },
    ),
}

SGLANG: Answers = {
    "": _NOT_FOUND,
    "/get_model_info": (
        200,
        {"model_path": "openai/gpt-oss-20b", "tokenizer_path": "…", "is_generation": True},
    ),
    "/v1/models": (
        200,
        {
            "object": "list",
            "data": [
                {
                    "id": "openai/gpt-oss-20b",
                    "object": "model",
                    "owned_by": "sglang",
                    "root": "openai/gpt-oss-20b",
                    "max_model_len": 131_072,
                }
            ],
        },
    ),
}

VLLM: Answers = {
    "": _NOT_FOUND,
    "/version": (200, {"version": "0.11.0"}),
    "/v1/models": (
        200,
        {
            "object": "list",
            "data": [
                {
                    "id": "mine/tuned model",
                    "object": "model",
                    "owned_by": "vllm",
                    "max_model_len": 32_768,
                }
            ],
        },
    ),
}

_UNAUTHORIZED = (401, {"error": "Unauthorized"})

TRUNKLINE: Answers = {
    "": (401, {"error": {"message": "no key", "code": "invalid_api_key"}}),
    "/health": (200, {"status": "ok", "version": "0.1.0", "engine": "ready"}),
}


@contextmanager
def standing_in(answers: Answers, *, key: str = "") -> Iterator[int]:
    """Serves the answers on loopback, what is under ``/v1`` for the key alone; yields the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path, answers[""])
            given = self.headers.get("Authorization", "")
            if key and self.path.startswith("/v1") and given != f"Bearer {key}":
                status, body = _UNAUTHORIZED
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join(10)
