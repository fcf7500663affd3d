"""The CustomResourceDefinition, made from the types; the file in ``crds/`` is this and nothing else."""

from __future__ import annotations

from typing import Any

import yaml

from deepseek_operator.api.capacity_plan import (
    CAPACITY_KIND,
    CAPACITY_PLURAL,
    CAPACITY_SHORT_NAME,
    CapacityPlanSpec,
    CapacityPlanStatus,
)
from deepseek_operator.api.schema import Schema, structural_schema
from deepseek_operator.api.status import DeepSeekDeploymentStatus
from deepseek_operator.api.v1alpha1 import (
    GROUP,
    KIND,
    PLURAL,
    SHORT_NAME,
    VERSION,
    DeepSeekDeploymentSpec,
)

CRD_NAME = f"{PLURAL}.{GROUP}"

LONGEST_LINE = 100_000
"""Descriptions are not broken into lines: each break costs the indentation, and the file has to stay below 100 kB."""

NOT_LOOKED_AT = -1
"""``status.observedGeneration`` of an object that the operator has not looked at; generations start at 1."""

_DESCRIPTION = (
    "One DeepSeek model for one service level: the operator plans GPUs, split and precision, runs the model and keeps "
    "the service level. `kubectl apply` and `kubectl deepseek plan` refuse unknown fields; the API server drops them "
    "with a warning for clients that do not ask for fieldValidation=Strict."
)


def _column(name: str, path: str, description: str, *, kind: str = "string", wide: bool = False) -> dict[str, Any]:
    column = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return column | {"priority": 1} if wide else column


def printer_columns() -> list[dict[str, Any]]:
    """Return the columns of ``kubectl get dsd``, the wide ones last."""
    return [
        _column("Model", ".spec.model.name", "Model that is asked for."),
        _column("GPUs", ".status.summary.gpus", "GPUs of one replica."),
        _column("Parallel", ".status.summary.parallel", "Split of one replica."),
        _column("Ready", ".status.summary.ready", "Ready and wanted replicas."),
        _column("SLA", '.status.conditions[?(@.type=="SLAMet")].status', "Whether the service level is met."),
        _column("Reason", '.status.conditions[?(@.type=="Ready")].reason', "Why it is ready or not."),
        _column("Age", ".metadata.creationTimestamp", "Time since creation.", kind="date"),
        _column("Cost/h", ".status.plan.costPerHourUsd", "US dollars per hour of all replicas.", wide=True),
        _column("Endpoint", ".status.endpoint", "URL of the API inside the cluster.", wide=True),
    ]


def _object_schema() -> Schema:
    text = {"type": "string"}
    return {
        "type": "object",
        "description": _DESCRIPTION,
        "required": ["spec"],
        "properties": {
            "apiVersion": text,
            "kind": text,
            "metadata": {"type": "object"},
            "spec": structural_schema(DeepSeekDeploymentSpec),
            "status": _unseen_at_first(structural_schema(DeepSeekDeploymentStatus)),
        },
    }


def _unseen_at_first(schema: Schema) -> Schema:
    """Return the schema of status with a generation that no spec has, until the operator has looked.

    kstatus (Flux, kpt) takes an object without status and conditions for current, so a pipeline would go on before the
    operator has seen what it applied. Source: kstatus, checkGeneration; Flux gives its own kinds the same default.
    """
    return _written_by_us(schema) | {"default": {"observedGeneration": NOT_LOOKED_AT}}


def _written_by_us(schema: Schema) -> Schema:
    """Return the schema of status without defaults and lower bounds of 0.

    The operator alone writes it, and reads it back through the types, which check both; leaving them out of the
    definition leaves room for what people write.
    """
    lean = {key: value for key, value in schema.items() if key != "default" and (key, value) != ("minimum", 0)}
    for name in {"properties", "items"} & lean.keys():
        inner = lean[name]
        lean[name] = (
            {field: _written_by_us(each) for field, each in inner.items()}
            if name == "properties"
            else _written_by_us(inner)
        )
    return lean


def custom_resource_definition() -> dict[str, Any]:
    """Return the CustomResourceDefinition of DeepSeekDeployment, ready for the API server.

    ``spec.replicas`` has no default. A default would put a number into every object, where it would either
    contradict the operator's own scaling or, on a switch to owner External, drain what runs down to the default.
    Without a value ``GET …/scale`` answers 500, which is right for objects that the operator scales; for owner
    External the operator writes the first value through the scale subresource.
    """
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": CRD_NAME, "labels": {"app.kubernetes.io/part-of": "deepseek-operator"}},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": [SHORT_NAME],
                "categories": ["all"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _object_schema()},
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "additionalPrinterColumns": printer_columns(),
                }
            ],
        },
    }


class _PlainDumper(yaml.SafeDumper):
    """Writes shared values twice in place of YAML anchors, which people and diff tools stumble over."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def capacity_plan_definition() -> dict[str, Any]:
    """Return the CustomResourceDefinition of CapacityPlan, ready for the API server."""
    fits = '.status.conditions[?(@.type=="Fits")].status'
    columns = [
        _column("Fits", fits, "Whether everything that was asked for has room now."),
        _column("Stranded", ".status.strandedGpus", "Free GPUs that no replica can use.", kind="integer"),
        _column("Answer", ".status.summary", "The answer in one sentence."),
        _column("Age", ".metadata.creationTimestamp", "Time since creation.", kind="date"),
    ]
    schema = {
        "type": "object",
        "description": "A question about the GPUs of the whole cluster, with its answer in status; answered again "
        "when the cluster changes. It changes nothing.",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural_schema(CapacityPlanSpec),
            "status": _unseen_at_first(structural_schema(CapacityPlanStatus)),
        },
    }
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{CAPACITY_PLURAL}.{GROUP}",
            "labels": {"app.kubernetes.io/part-of": "deepseek-operator"},
        },
        "spec": {
            "group": GROUP,
            "scope": "Cluster",
            "names": {
                "kind": CAPACITY_KIND,
                "listKind": f"{CAPACITY_KIND}List",
                "plural": CAPACITY_PLURAL,
                "singular": CAPACITY_KIND.lower(),
                "shortNames": [CAPACITY_SHORT_NAME],
            },
            "versions": [version],
        },
    }


def crd_yaml(definition: dict[str, Any]) -> str:
    """Return a CustomResourceDefinition as the text of its file in ``crds/``."""
    header = "# Made by `kubectl deepseek crd` from the types in deepseek_operator/api; do not edit.\n"
    body = yaml.dump(definition, Dumper=_PlainDumper, sort_keys=False, width=LONGEST_LINE, allow_unicode=True)
    return header + body
