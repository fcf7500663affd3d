"""The only HTTP beside the Kubernetes API: reading a metrics page of one of our own pods, bounded in time and size.

Plain HTTP to the pod's own address, as Prometheus does it: no proxy, no credentials, no redirects. Engine logs are read
nowhere; they may hold prompts. An engine that serves HTTPS is not read at all: its certificate names the Service and
comes from an authority that only a Secret knows, and the operator neither reads Secrets nor skips the check.
"""

from __future__ import annotations

from ipaddress import ip_address

import aiohttp

from deepseek_operator.errors import EngineMetricsError
from deepseek_operator.units import MIB

READ_SECONDS = 10
"""For the whole answer; Prometheus' own default for a scrape."""

MAX_PAGE_BYTES = 4 * MIB
"""A page of vLLM 0.32 is some 60 kB, with eight engines half a MB."""

MAX_LINE_BYTES = 8190
"""Longest header line that is taken; aiohttp's own default."""


def metrics_url(address: str, port: int) -> str:
    """Return the URL of an engine's metrics page.

    Args:
        address: IP address of the pod; a name is refused, so that nothing is ever looked up.
        port: that the engine listens on, 1-65535.

    Raises:
        EngineMetricsError: the address is no IP address, or one that no pod has, such as that of a cloud's metadata
            service.

    >>> metrics_url("10.1.2.3", 8000), metrics_url("fd00::1", 8000)
    ('http://10.1.2.3:8000/metrics', 'http://[fd00::1]:8000/metrics')
    """
    try:
        parsed = ip_address(address)
    except ValueError as error:
        raise EngineMetricsError("the pod has no IP address yet") from error
    reached = getattr(parsed, "ipv4_mapped", None) or parsed
    if reached.is_link_local or reached.is_multicast or reached.is_unspecified:
        raise EngineMetricsError(f"{parsed} is no address of a pod")
    host = f"[{parsed}]" if parsed.version == 6 else str(parsed)
    return f"http://{host}:{port}/metrics"


async def read_page(url: str) -> str:
    """Return a metrics page as text.

    Raises:
        EngineMetricsError: no answer in time, another status than 200, a page that is too large, compressed although
            that was not asked for, or no UTF-8 text. The text says which.
    """
    timeout = aiohttp.ClientTimeout(total=READ_SECONDS)
    headers = {"Accept": "text/plain; version=0.0.4", "Accept-Encoding": "identity"}
    try:
        async with (
            aiohttp.ClientSession(
                timeout=timeout,
                headers=headers,
                trust_env=False,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                max_line_size=MAX_LINE_BYTES,
            ) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                raise EngineMetricsError(f"{url} answers with status {answer.status}")
            content = await _bounded(answer.content)
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
        raise EngineMetricsError(f"{url} does not answer ({type(error).__name__})") from error
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise EngineMetricsError(f"{url} is no UTF-8 text") from error


async def _bounded(stream: aiohttp.StreamReader) -> bytes:
    chunks, size = [], 0
    async for chunk in stream.iter_any():
        size += len(chunk)
        if size > MAX_PAGE_BYTES:
            raise EngineMetricsError(f"the metrics page is larger than {MAX_PAGE_BYTES // MIB} MiB")
        chunks.append(chunk)
    return b"".join(chunks)
