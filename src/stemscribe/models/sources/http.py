"""Files over https, from an address or from the model hub; a cut download goes on where it was cut.

Beside the growing file lies a note of what the server had offered. The next request asks for the rest, on the condition
(`If-Range`, RFC 9110 section 13.1.5) that the server still has the same file; if it has not, it answers with the whole
file, and the download starts anew. Where the server names no version, an equal total size must do: the sha256 at the
end judges either way.

A mirror need not be trusted, and so it may do little: redirects stay on https and lead to no address of this machine or
its network, their bodies are not read, and a body must come at a pace with which it can end.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import msgspec

from stemscribe.errors import RecordError
from stemscribe.models.sources.base import BaseSource, ContentError, FetchContext, SourceError, Target
from stemscribe.records import read_record, write_record
from stemscribe.wording import readable, without_credentials

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
ATTEMPTS = 4
REDIRECTS = 5
# 1 kB/s: at less, the smallest Whisper would take a day.
PACE_SECONDS = 60.0
PACE_BYTES = 64 * 1024
SHA256 = re.compile("[0-9a-f]{64}")
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


class Https(BaseSource, frozen=True, tag="https"):
    """A file at an address of its own."""

    url: Annotated[str, msgspec.Meta(pattern="^https://")]
    online: ClassVar[bool] = True
    copies: ClassVar[int] = 1

    def __str__(self) -> str:
        return without_credentials(self.url)

    def write(self, target: Target, context: FetchContext) -> str | None:
        """Download to the target; the sha256 that the server publishes, where it does."""
        return download(self.url, target, context)


class Hub(BaseSource, frozen=True, tag="hub"):
    """A file of a repository on the model hub, at one commit of it."""

    repo: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*\Z")]
    revision: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{40}\Z")]
    path: Annotated[str, msgspec.Meta(pattern=r"^(?!.*(^|/)\.\.?(/|$))[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*\Z")]
    online: ClassVar[bool] = True
    copies: ClassVar[int] = 1

    def __str__(self) -> str:
        return f"hub {self.repo} at {self.revision[:7]}"

    def write(self, target: Target, context: FetchContext) -> str | None:
        """Download to the target; the sha256 that the hub publishes, which it does for large files."""
        return download(f"{context.hub_endpoint}/{self.repo}/resolve/{self.revision}/{self.path}", target, context)


class Offer(msgspec.Struct, frozen=True):
    """What a server says of a file before it sends it.

    Attributes:
        version: a strong entity tag or a date, for `If-Range`; empty when the server gives neither.
        total: the size in bytes.
        sha256: as published in `X-Linked-Etag`.
    """

    version: str
    total: int | None
    sha256: str | None


class _Cut(Exception):
    """The connection ended early; what has come is kept, and asking again is worth while."""


def download(url: str, target: Target, context: FetchContext) -> str | None:
    """Download `url` to the target, going on from what an earlier attempt left there.

    Returns:
        The sha256 that the server publishes for the file, or `None`.

    Raises:
        ContentError: the server offers another file; nothing of it was downloaded.
        SourceError: the server cannot be reached, refuses, stalls, or cuts every attempt.
    """
    import httpx

    try:
        context.raise_if_failed(_netloc(httpx.URL(url)))
        with _client() as client:
            return _attempt(client, url, target)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        host = _netloc(error.request.url)
        failure = SourceError(f"could not connect to {host} ({_reason(error)})")
        context.remember_failure(host, failure)
        raise failure from error
    except httpx.TimeoutException as error:
        raise SourceError(f"{_netloc(error.request.url)} sent nothing for {READ_SECONDS:.0f} s") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SourceError(_reason(error)) from error


def _client() -> httpx.Client:
    import httpx

    try:
        return httpx.Client(timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS))
    # A proxy setting that httpx cannot follow (SOCKS needs another package), or certificates that cannot be read.
    except (ValueError, ImportError, OSError) as error:
        raise SourceError(f"the proxy or certificate settings do not work ({_reason(error)})") from error


def _attempt(client: httpx.Client, url: str, target: Target) -> str | None:
    reason = ""
    for _ in range(ATTEMPTS):
        try:
            return _receive(client, url, target)
        except _Cut as cut:
            reason = str(cut)
    raise SourceError(f"{reason}, {ATTEMPTS} times in a row")


def _receive(client: httpx.Client, url: str, target: Target) -> str | None:
    import httpx

    noted, held = _held(target)
    if noted is not None and held == noted.total:
        return noted.sha256  # the last attempt was stopped between the last byte and the verification
    try:
        with _answer(client, url, _ask_for_rest(noted, held)) as response:
            offer = _accept(response, noted, held, target)
            start = held if response.status_code == httpx.codes.PARTIAL_CONTENT else 0
            target.pour(_at_a_pace(response.iter_raw()), start=start, total=offer.total)
            return offer.sha256
    except (httpx.ReadError, httpx.RemoteProtocolError) as error:
        raise _Cut("the connection was cut") from error


@contextmanager
def _answer(client: httpx.Client, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
    """The answer at the end of all redirects, with those in its history; httpx would read their bodies, endless or not.

    Raises:
        SourceError: they lead where they may not, or nowhere.
    """
    request = client.build_request("GET", url, headers=headers)
    first = request.url
    history: list[httpx.Response] = []
    for _ in range(1 + REDIRECTS):
        response = client.send(request, stream=True)
        try:
            if response.next_request is None:
                response.history = history
                yield response
                return
        finally:
            response.close()
        history.append(response)
        request = response.next_request
        _check_redirect(first, request.url)
    raise SourceError(f"it redirects more than {REDIRECTS} times")


def _check_redirect(first: httpx.URL, onward: httpx.URL) -> None:
    """Refuse to be sent from https to what anybody may read and change, or from outside to what is inside."""
    if onward.scheme != "https" and onward.scheme != first.scheme:
        raise SourceError(f"it redirects from {first.scheme} to {onward.scheme}, which is not followed")
    if _is_inside(onward.host) and not _is_inside(first.host):
        raise SourceError(f"it redirects to {onward.host}, an address of this machine or its network")


def _is_inside(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host.strip("[]")).is_global
    except ValueError:  # a name; where that leads, the certificate judges
        return host.rstrip(".").rpartition(".")[2] == "localhost"


def _at_a_pace(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The blocks of a body, as long as they come at a pace with which it can end."""
    began, come = time.monotonic(), 0
    for block in blocks:
        yield block
        come += len(block)
        if come >= PACE_BYTES:
            began, come = time.monotonic(), 0
        elif time.monotonic() - began > PACE_SECONDS:
            raise SourceError(f"it sent less than {readable(PACE_BYTES)} in {PACE_SECONDS:.0f} s")


def _accept(response: httpx.Response, noted: Offer | None, held: int, target: Target) -> Offer:
    """What the answer offers, once it is clear that its body belongs to the wanted file."""
    if response.status_code == 206 and noted and _continues(response, noted, held):
        return noted
    if response.status_code in (206, 416):
        target.discard()
        raise _Cut("the server gave another part of the file than was asked for")
    if response.status_code != 200:
        raise SourceError(f"the server answered {response.status_code} {response.reason_phrase}".rstrip())
    offer = _offer(response)
    if target.sha256 and offer.sha256 and offer.sha256 != target.sha256:
        raise ContentError(f"expected sha256 {target.sha256}, it offers {offer.sha256}")
    if target.size and offer.total and offer.total != target.size:
        raise ContentError(f"expected {target.size:,} bytes, it offers {offer.total:,}")
    target.discard()
    write_record(target.note, offer)
    return offer


def _held(target: Target) -> tuple[Offer | None, int]:
    """What an earlier attempt was offered, and how many bytes of it are there."""
    try:
        return read_record(target.note, Offer), _size(target.path)
    except RecordError:
        return None, 0


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _ask_for_rest(noted: Offer | None, held: int) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity"}  # a compressed body would have neither this length nor these positions
    if noted is not None and held:
        headers["Range"] = f"bytes={held}-"
        if noted.version:
            headers["If-Range"] = noted.version
    return headers


def _continues(response: httpx.Response, noted: Offer, held: int) -> bool:
    found = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return found is not None and (int(found[1]), int(found[2])) == (held, noted.total)


def _offer(response: httpx.Response) -> Offer:
    etag = response.headers.get("ETag", "")
    strong = etag if etag and not etag.startswith("W/") else ""
    length = response.headers.get("Content-Length", "")
    return Offer(
        version=strong or response.headers.get("Last-Modified", ""),
        total=int(length) if length.isdigit() else None,
        sha256=_published(response),
    )


def _published(response: httpx.Response) -> str | None:
    """The hub sends it with the redirect to its store of large files, not with the file itself."""
    for answer in (*response.history, response):
        tag = str(answer.headers.get("X-Linked-Etag", "")).strip('"')
        if SHA256.fullmatch(tag):
            return tag
    return None


def _netloc(url: httpx.URL) -> str:
    """Who is asked, without a name or a password; after a redirect this is another host than at first."""
    return url.netloc.decode("ascii")


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
