"""One answer from the web: over HTTP or HTTPS, for a file whose size is told beforehand."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, InvalidURL
from urllib.error import URLError
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

BLOCK = 1 << 16  # bytes in memory at a time
LIMIT = 2 << 30  # bytes of a file; the greatest PicoDet has 50 MB
REDIRECTS = 5
MOVED = {301, 302, 303, 307, 308}


class BrokenError(Exception):
    """An attempt failed; another may not."""


class StaleError(BrokenError):
    """What came in earlier attempts is no beginning of what the server has now."""


class WrongError(Exception):
    """An answer came, and no other is to be expected."""

    def __init__(self, came: str, expected: str) -> None:
        super().__init__(came, expected)
        self.came, self.expected = came, expected


@dataclass(frozen=True)
class Source:
    """Which file a server has."""

    size: int
    validator: str | None  # the ETag or Last-Modified that tells it from other versions of it


@dataclass(frozen=True)
class Answer:
    """What comes of a file, `start` being the first byte."""

    start: int
    source: Source
    response: HTTPResponse
    timeout: float

    def blocks(self) -> Iterator[bytes]:
        """What is announced and not a byte more, as it comes."""
        done = self.start
        while done < self.source.size:
            with _network(self.timeout):
                block = self.response.read1(min(BLOCK, self.source.size - done))
            if not block:
                raise BrokenError(
                    f"the connection ended after {done:,} of {self.source.size:,} bytes"
                )
            done += len(block)
            yield block


@contextmanager
def ask(url: str, offset: int, source: Source | None, timeout: float) -> Iterator[Answer]:
    """For a file, or for what comes after the first `offset` bytes of `source`.

    Starts at `offset`, or at 0 if the server cannot send parts or has another file by now.
    """
    headers = {"Accept-Encoding": "identity", "User-Agent": "picodet"}
    if offset and source:
        headers |= {"Range": f"bytes={offset}-", "If-Range": str(source.validator)}
    with _get(url, headers, timeout) as response:
        start, announced = _announced(response)
        if start and (start, announced) != (offset, source):
            raise StaleError("the file changed on the server meanwhile")
        yield Answer(start, announced, response, timeout)


def _announced(response: HTTPResponse) -> tuple[int, Source]:
    headers, start, size = response.headers, 0, response.length
    status = f"HTTP {response.status} {response.reason} came"
    if response.status >= 500:
        raise BrokenError(status)
    if response.status == 416:
        raise StaleError(status)
    if response.status == 206:
        content_range = headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})", content_range)
        if not match or int(match[2]) + 1 != int(match[3]):
            raise WrongError(f"the part {content_range!r} came", "all that was missing")
        start, size = int(match[1]), int(match[3])
    elif response.status != 200:
        raise WrongError(status, "the file")
    if headers.get_content_type() in {"text/html", "application/xhtml+xml"}:
        raise WrongError("a web page came", "a file of weights")
    if headers.get("Content-Encoding", "identity") != "identity":
        raise WrongError(f"{headers['Content-Encoding']} came", "the file as it is")
    if size is None:
        raise WrongError("a file of unknown size came", "its size, which tells a whole file")
    if not 0 < size <= LIMIT:
        raise WrongError(f"a file of {size:,} bytes came", f"1 to {LIMIT:,}")
    etag = headers.get("ETag", "")
    strong = etag if etag.startswith('"') else None  # a weak one does not vouch for every byte
    return start, Source(size, strong or headers.get("Last-Modified"))


@contextmanager
def _get(url: str, headers: dict[str, str], timeout: float) -> Iterator[HTTPResponse]:
    """After redirections: of http to http or https, of https to https only.

    Knows no file:// or ftp://; goes through `http_proxy` and its like.
    """
    opener = OpenerDirector()
    for handler in (ProxyHandler(), HTTPHandler(), HTTPSHandler()):
        opener.add_handler(handler)
    for _ in range(1 + REDIRECTS):
        with _network(timeout):
            answer = opener.open(Request(url, headers=headers), timeout=timeout)  # noqa: S310
        with answer as response:
            if response.status not in MOVED:
                yield response
                return
            target = urljoin(url, response.headers.get("Location", ""))
        old, new = urlsplit(url).scheme, urlsplit(target).scheme
        if new not in {old, "https"}:
            raise WrongError(f"a redirection to {target} came", f"one to {old}://")
        url = target
    raise WrongError(f"more than {REDIRECTS} redirections came", "the file")


@contextmanager
def _network(timeout: float) -> Iterator[None]:
    """Whatever the network does is a BrokenError; a URL that makes no sense is a WrongError."""
    try:
        yield
    except (InvalidURL, ValueError) as error:
        raise WrongError(f"{error} came of it", "an address") from error
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, TimeoutError):
            raise BrokenError(f"nothing came for {timeout:g} s") from error
        raise BrokenError(f"no answer: {str(reason) or type(reason).__name__}") from error
