"""One row of the golden manifests: a spec, its plan, and what of the cluster the builders are told."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deepseek_operator.planner.result import Plan


@dataclass(frozen=True, kw_only=True)
class ManifestCase:
    """A spec whose manifests are kept word by word.

    Args:
        name: of the object and of its file ``tests/golden/manifests/NAME.yaml``.
        says: what the case is about, in a few words.
        spec: fields of the spec that differ from the 67B sample's.
        plan: the accepted plan.
        replicas: replicas to run; None leaves them to another owner.
        known: further keyword arguments of `resources.desired.desired`.
    """

    name: str
    says: str
    spec: Mapping[str, Any]
    plan: Plan
    replicas: int | None = 1
    known: Mapping[str, Any] = field(default_factory=dict)


def all_cases() -> list[ManifestCase]:
    """Return ``CASES`` of every other module of this folder, by module and then in their order."""
    modules = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "case")
    return [case for name in modules for case in importlib.import_module(f"manifest_cases.{name}").CASES]
