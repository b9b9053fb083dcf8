"""The hub: a repository's listing, and the bytes of its files, as huggingface_hub reaches them.

Of huggingface_hub this uses the endpoint, the token, the client, the listing and the errors. Its own
download is not used: it deletes what has arrived when it is interrupted, so nothing could be
resumed, and it refuses files beyond 50 GB unless they come by its second protocol, Xet, which is
never spoken here: everything comes by plain HTTP from `/resolve/`.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import httpx2  # noqa: TID251 - huggingface_hub speaks through it, and raises its errors
import msgspec

from trunkline import __version__
from trunkline.engine.weights import HubFile
from trunkline.errors import PullError

CONNECT_TIMEOUT_S = 10.0
LISTING_TIMEOUT_S = 10.0
SILENCE_TIMEOUT_S = 30.0
"""How long the hub may send nothing before a connection counts as lost."""
_TIMEOUT = httpx2.Timeout(SILENCE_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
_NO_LISTING = (
    *(ValueError, TypeError, KeyError, AttributeError, RecursionError),  # of huggingface_hub
    msgspec.ValidationError,
)
_TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_PUBLIC = "https://huggingface.co"
_OUR_KEYS = "tl_"
_OUR_FIRST_KEY = "TRUNKLINE_BOOTSTRAP_KEY"  # any string
_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


class Hiccup(Exception):
    """The hub did not answer, or broke off; it may do better when it is asked again."""


class Listing(msgspec.Struct, frozen=True):
    """A repository at one commit, ``revision``."""

    repository: str
    revision: str
    files: list[HubFile]


class Hub:
    """The hub at ``endpoint``, None for $HF_ENDPOINT or the public one.

    ``token`` None leaves the choice to huggingface_hub ($HF_TOKEN, or who is logged in), except that
    a key of this router in those variables is never sent; False sends none.
    """

    def __init__(self, *, endpoint: str | None = None, token: str | bool | None = None) -> None:
        from huggingface_hub import constants

        # Else the first request is preceded by another, whose answer it caches, to name in the user
        # agent which coding agent runs here.
        constants.HF_HUB_DISABLE_TELEMETRY = True
        # An empty variable is as one that is not set; huggingface_hub takes it for an address.
        self.endpoint = (endpoint or constants.ENDPOINT or _PUBLIC).rstrip("/")
        self._holds_our_key = token is None and _is_ours()
        self._token = False if self._holds_our_key else token

    def listing(self, repository: str) -> Listing:
        """Returns the files of a repository that have a checksum, at its newest commit.

        Raises Hiccup, or PullError for a repository that is not there, not open to us, or for a hub
        that cannot be reached.
        """
        from huggingface_hub import HfApi

        api = HfApi(endpoint=self.endpoint, token=self._token)
        with self._translated(repository):
            try:
                info = api.model_info(repository, files_metadata=True, timeout=LISTING_TIMEOUT_S)
                files = [
                    {
                        "name": file.rfilename,
                        "size_bytes": file.lfs.size,
                        "sha256": file.lfs.sha256,
                    }
                    for file in info.siblings or ()
                    if file.lfs is not None
                ]
                # huggingface_hub passes on whatever was sent, of any type.
                return msgspec.convert(
                    {"repository": repository, "revision": info.sha or "main", "files": files},
                    Listing,
                )
            except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
                raise PullError(
                    f"HF_ENDPOINT: '{self.endpoint}' is no address; expected one as https://host"
                ) from error
            except _NO_LISTING as error:
                raise self._no_hub() from error

    def read(
        self, listing: Listing, file: HubFile, *, start: int, stop: int
    ) -> Generator[bytes, None, None]:
        """Yields the bytes of a file from ``start`` up to and without ``stop``, as they arrive.

        Raises Hiccup if they stop coming, else PullError as ``listing`` does.
        """
        from huggingface_hub import get_session, hf_hub_url, hf_raise_for_status, utils

        url = hf_hub_url(
            listing.repository, file.name, revision=listing.revision, endpoint=self.endpoint
        )
        headers: dict[str, str] = utils.build_hf_headers(  # type: ignore[attr-defined]  # public
            token=self._token, library_name="trunkline", library_version=__version__
        )
        headers["Accept-Encoding"] = "identity"
        headers["Range"] = f"bytes={start}-{stop - 1}"
        # A redirect to the host that stores the file loses the authorization: httpx2 sees to that.
        request = get_session().stream("GET", url, headers=headers, timeout=_TIMEOUT)
        with self._translated(listing.repository), request as response:
            hf_raise_for_status(response)
            # Who ignores the range sends the file from its beginning.
            skip = 0 if response.status_code == 206 else start
            left = stop - start
            for data in response.iter_raw():
                wanted = data[skip : skip + left]
                skip = max(0, skip - len(data))
                left -= len(wanted)
                if wanted:
                    yield wanted
                if not left:
                    return

    @contextmanager
    def _translated(self, repository: str) -> Iterator[None]:
        from huggingface_hub import errors

        try:
            yield
        except errors.OfflineModeIsEnabled as error:
            raise PullError("HF_HUB_OFFLINE is set: unset it to pull from the hub") from error
        except errors.GatedRepoError as error:
            raise PullError(
                f"{repository} is gated: ask for access at {self.endpoint}/{repository}, then set "
                f"HF_TOKEN to a token of your account there{self._hint()}"
            ) from error
        except errors.RepositoryNotFoundError as error:
            raise PullError(
                f"{self.endpoint} has no repository {repository}, or does not show it to you: check "
                f"HF_ENDPOINT, or set HF_TOKEN to a token that may read it{self._hint()}"
            ) from error
        except errors.HfHubHTTPError as error:
            status = error.response.status_code
            if status in _TRY_AGAIN:
                raise Hiccup(f"it answered {status}") from error
            raise PullError(self._refusal(repository, status)) from error
        except httpx2.ConnectError as error:
            raise Hiccup(f"it cannot be reached ({error})") from error
        except httpx2.TimeoutException as error:
            raise Hiccup("it does not answer in time") from error
        except httpx2.TransportError as error:
            raise Hiccup("the connection broke") from error
        except httpx2.TooManyRedirects as error:
            raise PullError(f"{self.endpoint} leads in circles: check HF_ENDPOINT") from error
        except UnicodeError as error:  # the host of a redirect that can have no address
            raise self._no_hub() from error

    def _no_hub(self) -> PullError:
        return PullError(
            f"{self.endpoint} does not answer as a hub does: check HF_ENDPOINT, or whether a proxy or "
            "a login page is in between"
        )

    def _refusal(self, repository: str, status: int) -> str:
        if status in (401, 403):
            return (
                f"{self.endpoint} does not let you read {repository} (status {status}): set HF_TOKEN "
                f"to a token that may{self._hint()}"
            )
        return (
            f"{self.endpoint} refused {repository} with status {status}: check HF_ENDPOINT, or try "
            "again later"
        )

    def _hint(self) -> str:
        if not self._holds_our_key:
            return ""
        return "; HF_TOKEN holds a key of this router, which is not sent to the hub"


def _is_ours() -> bool:
    """Whether the token of the environment is a key of ours: clients of the router export it so."""
    token = next(filter(None, (os.environ.get(name) for name in _TOKENS)), "")
    first_key = os.environ.get(_OUR_FIRST_KEY)
    return token.strip().startswith(_OUR_KEYS) or (bool(token) and token == first_key)
