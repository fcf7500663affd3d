from __future__ import annotations

import base64
import json
import re

from deepseek_operator.sandbox.components import (
    STAGES,
    Ports,
    api_server_arguments,
    audit_policy,
    controller_manager_arguments,
    etcd_arguments,
    kwok_arguments,
    scheduler_arguments,
    scheduler_configuration,
)
from deepseek_operator.sandbox.credentials import kubeconfig, make_tokens, service_account_key, token_file

PORTS = Ports(1001, 1002, 1003)


def every_argument() -> list[str]:
    return [
        *etcd_arguments(),
        *api_server_arguments(PORTS),
        *controller_manager_arguments(PORTS),
        *scheduler_arguments(PORTS),
        *kwok_arguments(),
    ]


def test_everything_listens_on_loopback_or_on_a_socket_in_the_directory():
    listening = [one for one in every_argument() if re.match("--(bind|advertise)-address|--.*-urls", one)]
    assert len(listening) == 8
    for argument in listening:
        assert argument.split("=")[1].startswith(("127.0.0.1", "unix://"))


def test_authorization_is_by_roles():
    assert "--authorization-mode=RBAC" in api_server_arguments(PORTS)


def test_only_what_service_accounts_ask_for_is_audited_and_no_body():
    rules = json.loads(audit_policy())["rules"]
    assert rules == [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}, {"level": "None"}]


def test_only_annotated_nodes_are_kept_alive():
    assert "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake" in kwok_arguments()
    assert "--manage-all-nodes=false" in kwok_arguments()


def test_the_stages_are_shipped_with_the_package():
    assert STAGES.read_text().count("\nkind: Stage\n") == 6


def test_the_scheduler_elects_no_leader():
    assert json.loads(scheduler_configuration())["leaderElection"] == {"leaderElect": False}


def test_tokens_are_fresh_each_time_and_never_shared():
    first, second = make_tokens(), make_tokens()
    assert len({*first.values(), *second.values()}) == len(first) + len(second)


def test_each_component_has_its_own_name():
    rows = token_file({"kube-scheduler": "t1", "sandbox-admin": "t2"}).splitlines()
    assert rows == [
        't1,system:kube-scheduler,kube-scheduler,"system:masters"',
        't2,sandbox-admin,sandbox-admin,"system:masters"',
    ]


def test_the_service_account_key_is_a_fresh_p256_key():
    key = service_account_key()
    body = "".join(key.splitlines()[1:-1])
    der = base64.b64decode(body)
    assert len(der) == 51
    assert der[-8:].hex() == "2a8648ce3d030107"  # the object identifier of the curve
    assert key != service_account_key()


def test_the_kubeconfig_holds_everything_and_has_a_current_context():
    config = json.loads(kubeconfig("https://127.0.0.1:1", "secret", b"pem"))
    assert config["current-context"] == config["contexts"][0]["name"]
    assert config["users"][0]["user"] == {"token": "secret"}
    assert base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]) == b"pem"
