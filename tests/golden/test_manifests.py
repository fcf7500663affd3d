"""Spec and plan in, manifests out: the whole text, so that a change of any field is seen in review.

The cases lie in ``tests/manifest_cases``. ``UPDATE_GOLDEN=1 pytest tests/golden`` writes the files anew; look at the
difference before you commit it.
"""

from __future__ import annotations

import os
from pathlib import Path

import kubernetes.client
import pytest
import yaml

from deepseek_operator.resources.configmap_plan import PLAN_KEY
from deepseek_operator.resources.desired import desired
from deepseek_operator.resources.download_job import SCRIPT
from deepseek_operator.resources.template_pin import TEMPLATE_KEY
from manifest_cases.case import ManifestCase, all_cases
from model_factories import UID, make_deployment

AS_TEXT = {PLAN_KEY, TEMPLATE_KEY, SCRIPT}

FOLDER = Path(__file__).parent / "manifests"


@pytest.mark.parametrize("case", [pytest.param(case, id=case.says) for case in all_cases()])
def test_manifests(case: ManifestCase) -> None:
    deployment = make_deployment(case.name, **case.spec)
    manifests = desired(deployment, case.plan, uid=UID, replicas=case.replicas, plan_hash="1f3a5c7e", **case.known)
    for manifest in manifests:  # the same content once more, as text, and programs: judged by tests of their own
        manifest.get("data", {}).update(dict.fromkeys(AS_TEXT & manifest.get("data", {}).keys(), "..."))
    text = yaml.safe_dump_all(manifests, sort_keys=False, width=110)
    path = FOLDER / f"{case.name}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_client_library_knows_every_field(path: Path) -> None:
    """Its models forbid fields that Kubernetes does not have; kinds of other projects are judged by the API server."""
    for manifest in yaml.safe_load_all(path.read_text()):
        group, _, version = manifest["apiVersion"].rpartition("/")
        model = getattr(kubernetes.client, version.capitalize() + manifest["kind"], None)
        if model is None:
            assert "." in group, f"{manifest['apiVersion']} {manifest['kind']} is no kind of Kubernetes"
            continue
        model.model_validate(manifest)


def test_every_file_has_a_case() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.yaml")) == sorted(case.name for case in all_cases())
