"""Every failure that Trunkline raises on purpose.

::

    TrunklineError
    ├── ConfigError                exit code 2: names the dotted key and the fix
    ├── StartError                 exit code 1: port taken, disk full, database locked …
    ├── PullError                  exit code 1: weights that cannot be fetched, or removed
    ├── APIError                   what a caller sees: status, type, code, param
    │   ├── InvalidRequest         400, the caller's mistake
    │   │   ├── NoMatchingProvider no_matching_provider, with the decision for the receipt
    │   │   └── PreviousResponseNotFound  previous_response_not_found, naming the link
    │   ├── InvalidAPIKey          401
    │   ├── HostNotAllowed         403
    │   ├── ModelNotFound          404 model_not_found
    │   ├── NotFound               404 not_found
    │   ├── MethodNotAllowed       405
    │   ├── RequestTooLarge        413
    │   ├── RateLimited            429, with Retry-After
    │   ├── EngineOverloaded       429, with Retry-After
    │   ├── ProvidersCoolingDown   429, with Retry-After
    │   ├── UpstreamFailed         502
    │   ├── EngineUnavailable      503
    │   ├── ServerStopping         503
    │   ├── StoreUnavailable       503 store_unavailable
    │   └── UpstreamTimeout        504
    ├── UpstreamError              one attempt failed; routing decides what follows
    ├── EgressError                an address that a caller chose: refused, or no use
    ├── MCPError                   a server of tools that does not do its part
    └── ServerRefused              exit code 1: a command's request was answered with an error

The statuses and codes are those of docs/reference/errors.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal


class TrunklineError(Exception):
    """Something went wrong."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().split("\n")[0])

    @property
    def message(self) -> str:
        return str(self.args[0])


class ConfigError(TrunklineError):
    """the configuration is not valid"""

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str | None = None, *, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems) or (self.message,)


class StartError(TrunklineError):
    """the server cannot start"""

    exit_code: ClassVar[int] = 1


class PullError(TrunklineError):
    """the weights cannot be pulled"""

    exit_code: ClassVar[int] = 1


class APIError(TrunklineError):
    """the request failed"""

    status: int = 500
    type: str = "server_error"
    code: str = "internal_error"

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        self.param = param
        self.retry_after_s = retry_after_s
        self.attempts: Sequence[Any] = ()  # the relay's, for the receipt


class InvalidRequest(APIError):
    """the request is not valid"""

    status = 400
    type = "invalid_request_error"
    code = "invalid_value"


class NoMatchingProvider(InvalidRequest):
    """nobody who offers this model may be asked"""

    code = "no_matching_provider"

    def __init__(self, message: str, *, param: str, decision: Any, code: str | None = None) -> None:
        super().__init__(message, code=code, param=param)
        self.decision = decision  # which filter removed each candidate, for the receipt


class PreviousResponseNotFound(InvalidRequest):
    """there is no such previous response; send the conversation as input instead"""

    code = "previous_response_not_found"

    def __init__(self, missing: str, *, behind: str) -> None:
        """``missing`` is the link that is not there, ``behind`` the response that was asked for."""
        leads = "" if missing == behind else f", to which '{behind[:100]}' leads back"
        super().__init__(
            f"there is no response '{missing[:100]}'{leads}: it is unknown, deleted or expired; "
            "send the conversation as input instead",
            param="previous_response_id",
        )


class InvalidAPIKey(APIError):
    """no valid API key; send it as 'Authorization: Bearer tl_…'"""

    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"

    def __init__(self, *, reason: Literal["missing", "unknown", "revoked", "expired"]) -> None:
        super().__init__()
        self.reason = reason  # for the log: the caller reads the same words in all four cases


class HostNotAllowed(APIError):
    """this Host is not served here; add it to [server] allowed_hosts"""

    status = 403
    type = "invalid_request_error"
    code = "host_not_allowed"


class ModelNotFound(APIError):
    """unknown model; see GET /v1/models"""

    status = 404
    type = "invalid_request_error"
    code = "model_not_found"


class NotFound(APIError):
    """not found"""

    status = 404
    type = "invalid_request_error"
    code = "not_found"


class MethodNotAllowed(APIError):
    """this method is not allowed here"""

    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"

    def __init__(self, *, allowed: str) -> None:
        super().__init__(f"this method is not allowed here; allowed is {allowed}")
        self.allowed = allowed


class RequestTooLarge(APIError):
    """the request body is too large"""

    status = 413
    type = "invalid_request_error"
    code = "request_too_large"


class RateLimited(APIError):
    """this key may not begin another request now; try again shortly"""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class EngineOverloaded(APIError):
    """the embedded engine's queue is full; try again shortly"""

    status = 429
    type = "rate_limit_error"
    code = "engine_overloaded"


class ProvidersCoolingDown(APIError):
    """every provider is cooling down after failures; try again shortly"""

    status = 429
    type = "rate_limit_error"
    code = "providers_cooling_down"


class UpstreamFailed(APIError):
    """every attempt failed"""

    status = 502
    type = "upstream_error"
    code = "upstream_failed"


class EngineUnavailable(APIError):
    """the embedded engine is not available"""

    status = 503
    type = "server_error"
    code = "engine_unavailable"


class ServerStopping(APIError):
    """the server is stopping; try again shortly"""

    status = 503
    type = "server_error"
    code = "server_stopping"


class StoreUnavailable(APIError):
    """the database does not answer; try again shortly"""

    status = 503
    type = "server_error"
    code = "store_unavailable"


class UpstreamTimeout(APIError):
    """every attempt timed out"""

    status = 504
    type = "upstream_error"
    code = "upstream_timeout"


CALLERS_MISTAKES = frozenset({400, 413, 422})
"""What an upstream answers where the request is at fault, unless it says that something else is."""


class UpstreamError(TrunklineError):
    """One attempt at one deployment failed.

    ``message`` may quote the upstream, and so a prompt: it is for the developer's eye and never
    logged. ``public`` is what a caller may read: our words or, for a caller's own mistake
    (``status`` 400 to 499, not ``retryable``), the provider's sentence. ``timed_out`` tells a
    deadline from another failure, ``limit`` such a mistake that another provider may not see as one,
    ``by_model`` what the model did wrong, which a prompt can bring about at any provider, ``empty``
    that it said nothing, which may be the prompt's doing or the provider's. ``used`` is the usage that
    the upstream reported all the same: it will bill it.
    """

    def __init__(
        self,
        message: str,
        *,
        retryable: bool,
        status: int | None = None,
        public: str | None = None,
        code: str | None = None,
        param: str | None = None,
        timed_out: bool = False,
        retry_after_s: float | None = None,
        limit: bool = False,
        by_model: bool = False,
        empty: bool = False,
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.status = status
        self.public = public or message
        self.code = code
        self.param = param
        self.timed_out = timed_out
        self.retry_after_s = retry_after_s
        self.limit = limit
        self.by_model = by_model
        self.empty = empty
        self.used: Any = None  # the wire's, for the receipt

    @property
    def outcome(self) -> str:
        """What logs and receipts say: never the provider's words."""
        return self.public if self.retryable else "refused the request"


EgressReason = Literal[
    "url",
    "header",
    "refused",
    "unreachable",
    "timeout",
    "protocol",
    "status",
    "redirect",
    "type",
    "size",
]


def as_told(error: TrunklineError) -> APIError:
    """Returns what a caller is told of an error: that of one attempt is told like that of all."""
    if isinstance(error, APIError):
        return error
    if isinstance(error, UpstreamError):
        kind = UpstreamTimeout if error.timed_out else UpstreamFailed
        return kind(error.public)
    return APIError(error.message)


class EgressError(TrunklineError):
    """An address that a caller chose may not be reached, or what is there is of no use.

    No APIError: whether it fails the request, and as which field of it, only the layer above knows. That
    raises ``InvalidRequest(f"{field}: {error.message}", param=field) from error``, or whatever it
    answers for a tool. ``message`` may be shown: it is ours from end to end, quotes nothing that the
    peer sent, and tells no address that a name has. ``reason`` is for logs and metrics; ``status`` is
    the peer's, if that is what is wrong.
    """

    def __init__(self, message: str, *, reason: EgressReason, status: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status


class MCPError(TrunklineError):
    """A server of tools was not reached, or does not do its part.

    ``code`` is an HTTP status, the server's or 502 and 504 for one that was not reached or took too
    long; if ``protocol``, it is JSON-RPC's. ``message`` may be shown: it is ours, or what the server
    says of an error in the protocol's own form.
    """

    def __init__(self, message: str, *, code: int = -32603, protocol: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.protocol = protocol


class ServerRefused(TrunklineError):
    """The server that a command talks to answered with an error.

    ``message`` is the server's sentence. ``status`` is None if the answer had begun.
    """

    def __init__(self, message: str, *, status: int | None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
