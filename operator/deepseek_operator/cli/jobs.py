"""Training jobs for ``capacity --jobs``: JSON lines as of ``estimate --batch``, with a name and how they may be run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepseek_operator.cli.estimate_batch import MAX_LINE_BYTES
from deepseek_operator.errors import DeepSeekOperatorError, InvalidSpecError, shortened

if TYPE_CHECKING:
    from deepseek_operator.capacity.jobs import Job

MAX_JOBS = 1000
"""More are no plan that a person reads."""

_OWN_KEYS = {"name": str, "preemptible": bool, "copies": int}
"""Keys beside those of an estimate, and the type of each."""


def read_jobs(path: Path) -> list[Job]:
    """Return the jobs of a file.

    Raises:
        InvalidSpecError: a line is no job; the text names the line.
        OSError: the file cannot be read.
    """
    jobs: list[Job] = []
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""), start=1):
            if len(line) > MAX_LINE_BYTES or number > MAX_JOBS:
                raise InvalidSpecError("jobs", f"{path}: at most {MAX_JOBS} lines of {MAX_LINE_BYTES:,} bytes")
            if line.strip():
                try:
                    jobs.append(_job(line))
                except DeepSeekOperatorError as error:
                    raise InvalidSpecError("jobs", f"{path} line {number}: {error}") from error
    names = [job.name for job in jobs]
    for name in names:
        if names.count(name) > 1:
            raise InvalidSpecError("jobs", f"{path}: {shortened(name)} is there twice; rename one")
    return jobs


def _job(line: bytes) -> Job:
    import json

    from deepseek_operator.capacity.jobs import Job
    from deepseek_operator.cli.estimate_answer import answer
    from deepseek_operator.cli.estimate_question import SERVING, parse_question
    from deepseek_operator.cli.estimate_training import TrainingAnswer
    from deepseek_operator.cli.strict_json import parse_object

    content = parse_object(line)
    own = {key: content.pop(key) for key in _OWN_KEYS if key in content}
    for key, value in own.items():
        if type(value) is not _OWN_KEYS[key]:
            raise InvalidSpecError(key, f"{shortened(str(value))} has the wrong type; write {_described(key)}")
    name: Any = own.get("name")
    copies: Any = own.get("copies", 1)
    if not name:
        raise InvalidSpecError("name", "a job needs a name")
    if not name.isprintable():
        raise InvalidSpecError("name", f"{shortened(ascii(name))} has control characters; write printable text")
    if copies < 1 or copies > MAX_JOBS:
        raise InvalidSpecError("copies", f"write 1 to {MAX_JOBS}")
    question = parse_question(json.dumps(content))
    if question.mode == SERVING or not question.gpu:
        raise InvalidSpecError("", f"{shortened(name)}: write mode training or lora, and the gpu that it runs on")
    found = answer(question)
    if not isinstance(found, TrainingAnswer):
        raise InvalidSpecError("mode", "a job is of mode training or lora")
    return Job(
        name=name,
        mode=question.mode,
        gpu=question.gpu,
        gpus=found.memory.gpus,
        tensor=question.tensor_parallel_size,
        host_bytes=found.memory.host_bytes,
        preemptible=bool(own.get("preemptible", False)),
        copies=copies,
        limit="" if found.fits else found.memory.limit,
    )


def _described(key: str) -> str:
    return {"name": "a text", "preemptible": "true or false", "copies": "a whole number"}[key]
