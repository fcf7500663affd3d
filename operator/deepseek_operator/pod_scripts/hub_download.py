"""Downloads repositories of the Hugging Face hub into a volume, each of them once.

The operator never runs this file: it is mounted from a ConfigMap into the pod of the download Job and runs there in
the engine's image, with the image's own ``huggingface_hub`` (tried with 0.36, 1.2, 1.10 and 2.4). That library brings
the layout of the cache (which the engine reads offline), locks per file, and resuming; what it leaves open is done
here:

* One downloader per repository and volume, whoever asks: a kernel lock (``flock``) on a file in the volume. Two
  DeepSeekDeployments that share a claim have a Job each; the second waits, then finds everything there. The kernel
  drops the lock when its holder dies, on NFS and CephFS too. Where a file system has no locks, the library's own lock
  files remain.
* A marker in the volume names the commit and every file with its size. While it holds, nothing is asked of the hub: a
  branch that has moved on does not change the weights below running models.
* 429 and 5xx: waits as long as ``Retry-After`` or ``RateLimit`` say, at least with exponential back-off. What no
  waiting can mend (no access, no such revision, a full volume) ends with one sentence in the termination message.

Usage: ``hub_download.py REPOSITORY[@REVISION]...`` with ``HF_HOME`` as the volume; a token comes in ``HF_TOKEN``.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

FOLDER = ".deepseek-operator"
"""Markers and locks, at the root of the volume."""

MAX_ATTEMPTS = 8
"""Tries in a row without one more byte; then the container ends and the kubelet's own back-off goes on."""

FIRST_WAIT_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 300.0
LOCK_POLL_SECONDS = 10.0

WORKERS = 4
"""Files at a time; the library's default of 8 runs into the hub's limits sooner."""

OTHER_WEIGHTS = (".bin", ".ckpt", ".gguf", ".h5", ".msgpack", ".onnx", ".ot", ".pt", ".pth", ".tflite")
OTHER_FOLDERS = ("original/", "metal/", "onnx/")
"""The same weights for other frameworks, which the engine leaves aside where there are safetensors."""

NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK})

Sleep = Callable[[float], None]


class Unrecoverable(Exception):
    """Waiting does not help; the text says what would."""


def main(arguments: Sequence[str], sleep: Sleep = time.sleep) -> int:
    """Download every named repository; return the exit code."""
    home = Path(os.environ["HF_HOME"])
    try:
        for word in arguments:
            repository, _, revision = word.partition("@")
            fetch(home, repository, revision, sleep)
    except Unrecoverable as error:
        say(str(error))
        _last_words(str(error))
        return 1
    return 0


def fetch(home: Path, repository: str, revision: str, sleep: Sleep = time.sleep) -> None:
    """Make one revision of a repository complete in the volume.

    Args:
        home: ``HF_HOME``, the root of the volume.
        repository: ``owner/name``.
        revision: commit, branch or tag; empty for the main branch.
        sleep: how to wait.

    Raises:
        Unrecoverable: it cannot be completed.
    """
    with _locked(home, repository, sleep):
        if is_complete(home, repository, revision):
            say(f"{repository} is complete; nothing is downloaded")
            return
        attempts, present = 0, _present_bytes(home, repository)
        while True:
            try:
                commit, files = _fetch_once(home, repository, revision)
            except Exception as error:
                if (remedy := _remedy(error, repository, revision)) is not None:
                    raise Unrecoverable(remedy) from error
                before, present = present, _present_bytes(home, repository)
                attempts = 1 if present > before else attempts + 1
                if attempts > MAX_ATTEMPTS:
                    raise Unrecoverable(f"{repository}: gave up after {attempts} tries: {_line(error)}") from error
                seconds = max(server_wait(error), back_off(attempts))
                say(f"{repository}: {_line(error)}; next try in {seconds:.0f} s, {present:,} bytes are there")
                sleep(seconds)
            else:
                _write(_marker(home, repository, revision), json.dumps({"commit": commit, "files": files}))
                say(f"{repository} is complete at commit {commit}: {sum(files.values()):,} bytes")
                return


def is_complete(home: Path, repository: str, revision: str) -> bool:
    """Return whether the marker is there and every file that it names has its size."""
    try:
        told = json.loads(_marker(home, repository, revision).read_text())
        commit, files = str(told["commit"]), dict(told["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return not _missing(home, repository, commit, files) and _resolves(home, repository, revision, commit)


def wanted_files(files: Mapping[str, int]) -> dict[str, int]:
    """Return the files that the engine reads: all, or without the weights of other frameworks.

    >>> sorted(wanted_files({"config.json": 1, "a.safetensors": 9, "pytorch_model.bin": 9, "original/a.pth": 9}))
    ['a.safetensors', 'config.json']
    >>> sorted(wanted_files({"config.json": 1, "pytorch_model.bin": 9}))
    ['config.json', 'pytorch_model.bin']
    """
    if not any(name.endswith(".safetensors") for name in files):
        return dict(files)
    return {
        name: size
        for name, size in files.items()
        if not name.endswith(OTHER_WEIGHTS) and not name.startswith(OTHER_FOLDERS)
    }


def server_wait(error: BaseException) -> float:
    """Return the seconds that the hub asked to wait with an error, 0 when it did not say.

    Source: RFC 9110, 10.2.3 (``Retry-After`` in seconds or as a date); draft-ietf-httpapi-ratelimit-headers
    (``RateLimit: "api";r=0;t=55``), as the hub sends it.
    """
    for each in _chain(error):
        headers = getattr(getattr(each, "response", None), "headers", None) or {}
        if (after := headers.get("Retry-After")) is not None:
            return _seconds(after)
        if (reset := re.search(r";\s*t=(\d+)", headers.get("RateLimit") or "")) is not None:
            return float(reset[1])
    return 0.0


def back_off(attempts: int) -> float:
    """Return the seconds before the next try: doubled each time, up to a fifth more by chance."""
    seconds = min(FIRST_WAIT_SECONDS * 2.0 ** (attempts - 1), LONGEST_WAIT_SECONDS)
    return seconds * random.uniform(1.0, 1.2)  # noqa: S311 - not a secret


def say(text: str) -> None:
    """Print a line for the log."""
    print(text, flush=True)


def _fetch_once(home: Path, repository: str, revision: str) -> tuple[str, dict[str, int]]:
    """Try once; return the commit and its files with their sizes."""
    from huggingface_hub import HfApi, hf_hub_download

    info = HfApi().model_info(repository, revision=revision or None, files_metadata=True, timeout=60)
    commit = str(info.sha)
    files = wanted_files({each.rfilename: int(each.size or 0) for each in info.siblings or ()})
    missing = _missing(home, repository, commit, files)
    _check_room(home, repository, sum(missing.values()))
    with ThreadPoolExecutor(WORKERS) as pool:
        tasks = [
            pool.submit(hf_hub_download, repository, name, revision=revision or None, cache_dir=home / "hub")
            for name in sorted(missing)
        ]
        try:
            for task in tasks:
                task.result()
        finally:
            pool.shutdown(cancel_futures=True)
    if left := _missing(home, repository, commit, files):
        raise RuntimeError(f"{len(left)} files are not complete, such as {min(left)}")
    if not _resolves(home, repository, revision, commit):
        raise RuntimeError(f"{revision or 'main'} moved on while it was downloaded")
    return commit, files


def _check_room(home: Path, repository: str, needed: int) -> None:
    """Refuse early what the volume cannot hold; files that are partly there count whole, within a few percent."""
    partly = sum(path.stat().st_size for path in _folder(home, repository).glob("blobs/*.incomplete"))
    free = shutil.disk_usage(home).free
    if needed - partly > free:
        raise Unrecoverable(
            f"{repository} needs {needed - partly:,} more bytes and the volume has {free:,} free; "
            "grow the claim or remove other models from it"
        )


def _missing(home: Path, repository: str, commit: str, files: Mapping[str, int]) -> dict[str, int]:
    """Return the files that are not there with their full size."""
    snapshot = _folder(home, repository) / "snapshots" / commit
    found = {name: (snapshot / name) for name in files}
    return {
        name: size for name, size in files.items() if not (found[name].is_file() and found[name].stat().st_size == size)
    }


def _resolves(home: Path, repository: str, revision: str, commit: str) -> bool:
    """Return whether an engine that is offline finds the commit by the name of the revision."""
    if revision == commit:
        return True
    try:
        return (_folder(home, repository) / "refs" / (revision or "main")).read_text() == commit
    except OSError:
        return False


def _present_bytes(home: Path, repository: str) -> int:
    return sum(path.stat().st_size for path in _folder(home, repository).glob("blobs/*"))


def _folder(home: Path, repository: str) -> Path:
    """Return where the library keeps a repository. Source: huggingface_hub, guide "Understand caching"."""
    return home / "hub" / ("models--" + repository.replace("/", "--"))


def _marker(home: Path, repository: str, revision: str) -> Path:
    return home / FOLDER / f"{repository.replace('/', '--')}@{(revision or 'main').replace('/', '--')}.json"


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(path)


@contextmanager
def _locked(home: Path, repository: str, sleep: Sleep) -> Iterator[None]:
    path = home / FOLDER / f"{repository.replace('/', '--')}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise Unrecoverable(
            f"the volume cannot be written by user {os.getuid()}, group {os.getgid()} ({error.strerror}); "
            "let that group write, or use another claim"
        ) from error
    with file:
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno in NO_LOCKS:
                    say("the volume has no file locks; two downloads of one model at a time would repeat work")
                    break
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise
            if not told:
                say(f"{repository} is being downloaded into this volume by another pod; waiting")
                told = True
            sleep(LOCK_POLL_SECONDS)
        yield


def _remedy(error: Exception, repository: str, revision: str) -> str | None:
    """Return what to do about an error that waiting does not mend; None where it may."""
    if isinstance(error, Unrecoverable):
        return str(error)
    if isinstance(error, ImportError):
        return "the image has no huggingface_hub; use an image of vLLM, or weights that are already on a volume"
    for each in _chain(error):
        status = getattr(getattr(each, "response", None), "status_code", None)
        if status in (401, 403):
            return (
                f"the hub refuses {repository} (HTTP {status}): it is gated, private or misspelt; the Secret of "
                "spec.model.storage.huggingFace.tokenSecretRef must hold a token that may read it"
            )
        if status == 404:
            return f"the hub has no {repository} at revision {revision or 'main'} (HTTP 404)"
        if isinstance(each, OSError) and each.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"the volume is full; grow the claim or remove other models from it ({repository} is not complete)"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _seconds(retry_after: str) -> float:
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        left = parsedate_to_datetime(retry_after) - datetime.now(UTC)
    except (TypeError, ValueError):
        return 0.0
    return max(0.0, left.total_seconds())


def _line(error: BaseException) -> str:
    """Return an error on one short line; addresses may carry signatures and are cut off."""
    text = re.sub(r"\s+", " ", re.sub(r"https?://\S+", "the hub", str(error))).strip()
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def _last_words(text: str, path: str = "/dev/termination-log") -> None:
    """Leave a sentence where the kubelet takes it into the pod's status."""
    try:
        Path(path).write_text(text)
    except OSError:
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
