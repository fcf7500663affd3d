"""Asking Prometheus, or a store that speaks its query API: bounded in time and size, with no proxy and no redirect.

A bearer token goes over HTTPS only, into the header of a request and nowhere else. Token and authority are read anew
for every round, because both rotate.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from deepseek_operator.errors import PrometheusError, shortened
from deepseek_operator.scaling.promql import QueryRules
from deepseek_operator.scaling.samples import AnswerError, Row, rows_of
from deepseek_operator.units import MIB

QUERY_SECONDS = 10.0
"""For one answer; 500 pods take a Prometheus some tens of milliseconds."""

MAX_ANSWER_BYTES = 32 * MIB
"""A histogram of 500 pods is some 2 MB."""

MAX_QUERIES = 4
"""Asked at once; Prometheus itself runs 20 at once for everybody (``--query.max-concurrency``)."""

MAX_TOKEN_BYTES = 16_384
"""A service account's token is some 1 kB."""

QUERY_PATH = "/api/v1/query"


@dataclass(frozen=True, kw_only=True)
class PrometheusSettings:
    """Where Prometheus is and how it is asked.

    Args:
        url: base URL, with a path where it lies under one; checked by `checked_url`.
        ca_file: certificates that its own is checked with; empty for those of the system.
        token_file: file with a bearer token; empty for none.
        rules: scrape interval and further labels.
        query_seconds: for one answer.
    """

    url: str
    ca_file: str = ""
    token_file: str = ""
    rules: QueryRules = field(default_factory=QueryRules)
    query_seconds: float = QUERY_SECONDS


def checked_url(url: str, *, token: bool = False) -> str:
    """Return a base URL without a slash at its end.

    Args:
        url: as the administrator wrote it.
        token: whether a bearer token will be sent.

    Raises:
        PrometheusError: no HTTP URL, or one with credentials, a query or a fragment; or plain HTTP with a token.

    >>> checked_url("https://thanos.monitoring:9091/tenant/")
    'https://thanos.monitoring:9091/tenant'
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise PrometheusError(f"the URL of Prometheus cannot be read: {error}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise PrometheusError("the URL of Prometheus begins with http:// or https:// and names a host")
    if parts.username is not None or parts.password is not None:
        raise PrometheusError("the URL of Prometheus holds a password; put a bearer token into a file instead")
    if parts.query or parts.fragment:
        raise PrometheusError("the URL of Prometheus ends with its path; further labels have an option of their own")
    if token and parts.scheme != "https":
        raise PrometheusError("a bearer token is sent over https only; give Prometheus' https URL")
    return url.rstrip("/")


class PrometheusApi:
    """One round of questions, over one set of connections; made by `connected`."""

    def __init__(self, settings: PrometheusSettings, session: aiohttp.ClientSession) -> None:
        self._settings = settings
        self._session = session
        self._slots = asyncio.Semaphore(MAX_QUERIES)
        self._host = urlsplit(settings.url).netloc
        self._failure: PrometheusError | None = None
        self.queries = 0
        self.bytes = 0

    async def rows(self, query: str) -> list[Row]:
        """Return the rows that an instant query finds; after a server that did not answer, the next fails at once.

        Args:
            query: PromQL.

        Raises:
            PrometheusError: no answer in time, a refusal, or an answer that is too large or something else.
        """
        async with self._slots:
            if self._failure is not None:
                raise self._failure
            self.queries += 1
            try:
                status, content = await self._asked(query)
            except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
                self._failure = PrometheusError(f"Prometheus at {self._host} does not answer ({_why(error)})")
                raise self._failure from error
        self.bytes += len(content)
        self._refuse_status(status, content)
        try:
            return rows_of(json.loads(content))
        except (AnswerError, ValueError, RecursionError) as error:
            raise PrometheusError(f"Prometheus at {self._host}: {_told(error)}") from error

    async def _asked(self, query: str) -> tuple[int, bytes]:
        seconds = self._settings.query_seconds
        form = {"query": query, "timeout": f"{seconds:g}s"}
        url = self._settings.url + QUERY_PATH
        async with self._session.post(url, data=form, allow_redirects=False) as answer:
            content, size = [], 0
            async for chunk in answer.content.iter_any():
                size += len(chunk)
                if size > MAX_ANSWER_BYTES:
                    raise PrometheusError(f"the answer of {self._host} is larger than {MAX_ANSWER_BYTES // MIB} MiB")
                content.append(chunk)
            return answer.status, b"".join(content)

    def _refuse_status(self, status: int, content: bytes) -> None:
        """Raise for everything but an answer; Prometheus explains 400, 422 and 503 in JSON, which `rows_of` reads."""
        if status == 200 or (status in (400, 422, 503) and content.startswith(b"{")):
            return
        if 300 <= status < 400:
            text = "sends to another address, and redirects are not followed; give the address itself"
        elif status in (401, 403):
            text = f"refuses the operator (status {status}); give a file with a token that may query"
        elif status == 404:
            text = f"has no {QUERY_PATH}; is a path of the URL missing?"
        else:
            text = f"answers with status {status}"
        raise PrometheusError(f"Prometheus at {self._host} {text}")


@asynccontextmanager
async def connected(settings: PrometheusSettings) -> AsyncIterator[PrometheusApi]:
    """Connect for one round of questions.

    Raises:
        PrometheusError: the file with the token or the authority cannot be read.
    """
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    if settings.token_file:
        headers["Authorization"] = f"Bearer {_token(settings.token_file)}"
    connector = aiohttp.TCPConnector(ssl=_tls(settings), limit=MAX_QUERIES)
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=settings.query_seconds),
        headers=headers,
        connector=connector,
        trust_env=False,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    ) as session:
        yield PrometheusApi(settings, session)


def _tls(settings: PrometheusSettings) -> ssl.SSLContext | bool:
    if not settings.url.startswith("https:"):
        return True
    try:
        return ssl.create_default_context(cafile=settings.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise PrometheusError(f"the file {settings.ca_file} holds no certificates ({_why(error)})") from error


def _token(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_TOKEN_BYTES + 1)
        token = content.decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise PrometheusError(f"the file {path} holds no token ({type(error).__name__})") from None
    if not token or len(content) > MAX_TOKEN_BYTES or any(character.isspace() for character in token):
        raise PrometheusError(f"the file {path} holds no token; a bearer token is one word")
    return token


def _why(error: BaseException) -> str:
    """Return the kind of an error and, of the operating system, its words; never the request itself."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted: {_told(error.certificate_error)}"
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)  # its own text may hold addresses
    return type(error).__name__


def _told(error: object) -> str:
    """Return a text of others as one short line."""
    return shortened(" ".join(str(error).split()))
