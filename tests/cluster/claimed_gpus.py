"""GPUs that are given by claims, as NVIDIA's driver for dynamic resource allocation lists them."""

from __future__ import annotations

from typing import Any

DRIVER = "gpu.nvidia.com"


def device(name: str, product: str, memory: str, profile: str = "") -> dict[str, Any]:
    """Return a device as NVIDIA's driver lists it."""
    attributes: dict[str, Any] = {
        "type": {"string": "mig" if profile else "gpu"},
        "productName": {"string": product},
        "uuid": {"string": f"GPU-{name}"},
    }
    if profile:
        attributes |= {"profile": {"string": profile}, "parentUUID": {"string": "GPU-parent"}}
    return {"name": name, "attributes": attributes, "capacity": {"memory": {"value": memory}}}


def resource_slice(node: str, *devices: dict[str, Any]) -> dict[str, Any]:
    """Return the one ResourceSlice of a node."""
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": f"{node}-{DRIVER}"},
        "spec": {
            "driver": DRIVER,
            "nodeName": node,
            "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
            "devices": list(devices),
        },
    }


def device_class(name: str, kind: str) -> dict[str, Any]:
    expression = f"device.driver == '{DRIVER}' && device.attributes['{DRIVER}'].type == '{kind}'"
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": name},
        "spec": {"selectors": [{"cel": {"expression": expression}}]},
    }
