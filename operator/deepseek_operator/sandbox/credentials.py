"""Tokens, keys and kubeconfigs of a local control plane; all of them live and die with its directory."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from pathlib import Path

from deepseek_operator.sandbox.state import write_private

ADMIN = "sandbox-admin"
COMPONENT_USERS = {
    "kube-controller-manager": "system:kube-controller-manager",
    "kube-scheduler": "system:kube-scheduler",
    "kwok": "sandbox-kwok",
    "lws-controller-manager": "sandbox-leader-worker-set",
}
"""The name under which each component shows up in audit and managed fields."""

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def make_tokens() -> dict[str, str]:
    """Return a fresh random token for the administrator and for each component, by name."""
    return {name: secrets.token_hex(32) for name in (ADMIN, *COMPONENT_USERS)}


def token_file(tokens: Mapping[str, str]) -> str:
    """Return the API server's static token file: token, user, uid, groups.

    Everyone is in ``system:masters``: these are the plane's own parts; what has to obey RBAC uses service accounts.
    """
    rows = [f'{token},{COMPONENT_USERS.get(name, name)},{name},"system:masters"' for name, token in tokens.items()]
    return "\n".join(rows) + "\n"


def service_account_key() -> str:
    """Return a fresh private key (PEM, SEC 1, curve P-256) that signs service account tokens.

    RFC 5915 lets the public half be left out, and then such a key is a number below the order of the curve in a
    fixed frame.
    """
    number = secrets.randbelow(_P256_ORDER - 1) + 1
    der = (
        bytes.fromhex("3031" + "020101" + "0420")
        + number.to_bytes(32, "big")
        + bytes.fromhex("a00a" + "06082a8648ce3d030107")
    )
    body = base64.b64encode(der).decode()
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return "\n".join(["-----BEGIN EC PRIVATE KEY-----", *lines, "-----END EC PRIVATE KEY-----", ""])


def kubeconfig(server: str, token: str, certificate_authority: bytes) -> str:
    """Return a kubeconfig with everything inside, as JSON, which is YAML too.

    Args:
        server: URL of the API server.
        token: bearer token.
        certificate_authority: PEM of what signed the server's certificate.
    """
    name = "deepseek-sandbox"
    authority = base64.b64encode(certificate_authority).decode()
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": authority}}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        },
        indent=2,
    )


def write_secrets(directory: Path, tokens: Mapping[str, str]) -> None:
    """Write what the API server needs before it starts: the token file and the service account key."""
    write_private(directory / "tokens.csv", token_file(tokens))
    write_private(directory / "service-account.key", service_account_key())


def write_kubeconfigs(directory: Path, server: str, tokens: Mapping[str, str]) -> None:
    """Write ``kubeconfig`` for people and one file for each component, once the server has made its certificate."""
    authority = (directory / "certs" / "apiserver.crt").read_bytes()
    for name, token in tokens.items():
        path = directory / ("kubeconfig" if name == ADMIN else f"{name}.kubeconfig")
        write_private(path, kubeconfig(server, token, authority))
