"""HTTP and HTTPS requests of files whose size the server states."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, InvalidURL
from urllib.error import URLError
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

BLOCK_SIZE = 1 << 16  # bytes read at a time
MAX_BYTES = 2 << 30  # bytes of a file; the largest PicoDet has 50 MB
MAX_REDIRECTS = 5
REDIRECT_STATUSES = {301, 302, 303, 307, 308}


class RetryableError(Exception):
    """An attempt failed; another may succeed."""


class ChangedFileError(RetryableError):
    """The server's file has changed since an earlier attempt."""


class UnexpectedResponseError(Exception):
    """A response that another attempt would not change."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(found, expected)
        self.found, self.expected = found, expected


@dataclass(frozen=True)
class RemoteFile:
    """The version of a file on a server."""

    size: int
    validator: str | None  # the ETag or Last-Modified, which identifies its version


@dataclass(frozen=True)
class PartialResponse:
    """A response with a part of a file, from byte `start` on."""

    start: int
    source: RemoteFile
    response: HTTPResponse
    timeout: float

    def blocks(self) -> Iterator[bytes]:
        """The announced number of bytes, block by block.

        Raises RetryableError where the connection ends before.
        """
        done = self.start
        while done < self.source.size:
            with _network_errors(self.timeout):
                block = self.response.read1(min(BLOCK_SIZE, self.source.size - done))
            if not block:
                raise RetryableError(
                    f"the connection ended after {done:,} of {self.source.size:,} bytes"
                )
            done += len(block)
            yield block


@contextmanager
def request(
    url: str, offset: int, source: RemoteFile | None, timeout: float
) -> Iterator[PartialResponse]:
    """Request a file, or what follows the first `offset` bytes of `source`.

    Starts at `offset`, or at 0 if the server cannot send parts or has another file by now. Raises
    RetryableError or UnexpectedResponseError.
    """
    headers = {"Accept-Encoding": "identity", "User-Agent": "picodet"}
    if offset and source:
        headers |= {"Range": f"bytes={offset}-", "If-Range": str(source.validator)}
    with _get(url, headers, timeout) as response:
        start, announced = _parse_response(response)
        if start and (start, announced) != (offset, source):
            raise ChangedFileError("the file changed on the server meanwhile")
        yield PartialResponse(start, announced, response, timeout)


def _parse_response(response: HTTPResponse) -> tuple[int, RemoteFile]:
    headers, start, size = response.headers, 0, response.length
    status = f"the server answered HTTP {response.status} {response.reason}"
    if response.status >= 500:
        raise RetryableError(status)
    if response.status == 416:
        raise ChangedFileError(status)
    if response.status == 206:
        content_range = headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})", content_range)
        if not match or int(match[2]) + 1 != int(match[3]):
            raise UnexpectedResponseError(
                f"the server sent the part {content_range!r}", "all missing bytes"
            )
        start, size = int(match[1]), int(match[3])
    elif response.status != 200:
        raise UnexpectedResponseError(status, "the file")
    if headers.get_content_type() in {"text/html", "application/xhtml+xml"}:
        raise UnexpectedResponseError("the server sent a web page", "a file of weights")
    if headers.get("Content-Encoding", "identity") != "identity":
        raise UnexpectedResponseError(
            f"the server sent {headers['Content-Encoding']}", "the file without encoding"
        )
    if size is None:
        raise UnexpectedResponseError(
            "the server sent a file of unknown size", "its size, to check that it is complete"
        )
    if not 0 < size <= MAX_BYTES:
        raise UnexpectedResponseError(f"the server sent {size:,} bytes", f"1 to {MAX_BYTES:,}")
    etag = headers.get("ETag", "")
    strong = etag if etag.startswith('"') else None  # a weak ETag does not identify every byte
    return start, RemoteFile(size, strong or headers.get("Last-Modified"))


@contextmanager
def _get(url: str, headers: dict[str, str], timeout: float) -> Iterator[HTTPResponse]:
    """Open a URL and follow redirections: of http to http or https, of https to https only.

    Neither file:// nor ftp:// is supported; `http_proxy` and its like are used.
    """
    opener = OpenerDirector()
    for handler in (ProxyHandler(), HTTPHandler(), HTTPSHandler()):
        opener.add_handler(handler)
    for _ in range(1 + MAX_REDIRECTS):
        with _network_errors(timeout):
            answer = opener.open(Request(url, headers=headers), timeout=timeout)  # noqa: S310
        with answer as response:
            if response.status not in REDIRECT_STATUSES:
                yield response
                return
            target = urljoin(url, response.headers.get("Location", ""))
        old, new = urlsplit(url).scheme, urlsplit(target).scheme
        if new not in {old, "https"}:
            raise UnexpectedResponseError(
                f"the server redirected to {target}", f"a redirection to {old}://"
            )
        url = target
    raise UnexpectedResponseError(
        f"the server redirected more than {MAX_REDIRECTS} times", "the file"
    )


@contextmanager
def _network_errors(timeout: float) -> Iterator[None]:
    """Turn network errors into RetryableError, invalid URLs into UnexpectedResponseError."""
    try:
        yield
    except (InvalidURL, ValueError) as error:
        raise UnexpectedResponseError(f"invalid URL ({error})", "a URL") from error
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, TimeoutError):
            raise RetryableError(f"no data for {timeout:g} s") from error
        raise RetryableError(f"no answer: {str(reason) or type(reason).__name__}") from error
