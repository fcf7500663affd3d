"""Asks Triton for one token and says whether the backend behind it lives; runs as a probe inside the engine's pod.

Triton's own readiness stays 200 when the process behind a model has died, while every request fails (server 2.51.0,
observed). So the probe is a request: an answered error is a dead backend, a slow answer is a busy one.

Usage: python3 triton_watchdog.py PORT PATH BODY; the exit code is 0 (alive or busy) or 1, with a line that says why.
"""

import http.client
import sys

TIMEOUT_SECONDS = 5
"""A longer wait means a full queue, which is no defect; it must end before the probe's own timeout, which is one."""

BUSY = (429, 503)
"""Statuses of a server that takes no further request for now."""


def main(port: str, path: str, body: str) -> int:
    """Return the exit code that one request leads to."""
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=TIMEOUT_SECONDS)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    except TimeoutError:
        return 0
    except (OSError, http.client.HTTPException) as error:
        print("the server does not answer:", error or type(error).__name__)
        return 1
    finally:
        connection.close()
    if answer.status == http.client.OK or answer.status in BUSY:
        return 0
    print("the backend failed:", answer.status, text[:500])
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
