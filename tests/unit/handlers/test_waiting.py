"""What a pod waits for, in one sentence, from statuses as the kubelet and the scheduler write them."""

from __future__ import annotations

from typing import Any

import pytest

from deepseek_operator.handlers.waiting import refused_pods, waiting_of

SECRETIVE = {
    "volumes": [
        {"name": "tls", "secret": {"secretName": "r1-tls"}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "cache", "persistentVolumeClaim": {"claimName": "hub"}},
    ]
}


def container(reason: str, message: str = "", **more: object) -> dict[str, Any]:
    told = {"reason": reason} | ({"message": message} if message else {})
    return {"name": "engine", "state": {"waiting": told}, **more}


def ended(code: int, reason: str, **more: object) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, **more}}


@pytest.mark.parametrize(
    ("status", "waiting"),
    [
        pytest.param({}, ("", ""), id="nothing known"),
        pytest.param(
            {"containerStatuses": [container("CreateContainerConfigError", 'secret "keys" not found')]},
            ("CreateContainerConfigError", 'secret "keys" not found'),
            id="a Secret that is missing",
        ),
        pytest.param(
            {
                "containerStatuses": [
                    container("CreateContainerConfigError", "couldn't find key api in Secret chat/keys")
                ]
            },
            ("CreateContainerConfigError", "couldn't find key api in Secret chat/keys"),
            id="a key that is missing in a Secret",
        ),
        pytest.param(
            {"containerStatuses": [container("ErrImagePull", "rpc error:\n  code = NotFound\n")]},
            ("ErrImagePull", "rpc error: code = NotFound"),
            id="several lines become one",
        ),
        pytest.param(
            {
                "initContainerStatuses": [container("PodInitializing")],
                "containerStatuses": [container("ImagePullBackOff", "Back-off pulling image")],
            },
            ("ImagePullBackOff", "Back-off pulling image"),
            id="what only a person can end comes first",
        ),
        pytest.param(
            {
                "containerStatuses": [
                    container(
                        "CrashLoopBackOff",
                        "back-off 5m0s restarting failed container",
                        restartCount=7,
                        lastState=ended(137, "OOMKilled"),
                    )
                ]
            },
            ("CrashLoopBackOff", "container engine was restarted 7 times, last after exit code 137, OOMKilled"),
            id="an engine without enough host memory",
        ),
        pytest.param(
            {
                "containerStatuses": [
                    container(
                        "CrashLoopBackOff", restartCount=1, lastState=ended(1, "Error", message="the hub refuses it")
                    )
                ]
            },
            ("CrashLoopBackOff", "container engine was restarted 1 time, last after exit code 1: the hub refuses it"),
            id="a program that said why",
        ),
        pytest.param(
            {"containerStatuses": [container("ContainerCreating")]},
            ("ContainerCreating", "its volumes need Secret r1-tls and PersistentVolumeClaim hub"),
            id="volumes that are set up, or are missing",
        ),
        pytest.param(
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/4"}]},
            ("Unschedulable", "0/4"),
            id="no node",
        ),
        pytest.param(
            {"containerStatuses": [{"name": "engine", "state": {"running": {}}}]}, ("", ""), id="a container that runs"
        ),
    ],
)
def test_waiting_of(status: dict[str, Any], waiting: tuple[str, str]):
    assert waiting_of(SECRETIVE, status) == waiting


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        pytest.param(
            'pods "r1-x" is forbidden: violates PodSecurity "restricted:latest": restricted volume types '
            '(volume "model" uses restricted volume type "hostPath")',
            "ask an administrator to allow it in this namespace, or change what the message names "
            "(weights on a claim or in an image need no hostPath)",
            id="a host path in a restricted namespace",
        ),
        pytest.param(
            'pods "r1-x" is forbidden: no PriorityClass with name deepseek-standard was found',
            "install the operator's PriorityClasses, or set spec.priorityClassName or priority: None",
            id="classes that are not installed",
        ),
        pytest.param("pods is forbidden: quota says no", "", id="anything else"),
    ],
)
def test_refused_pods(message: str, remedy: str):
    conditions = [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}]
    assert refused_pods(conditions) == f"pods are refused: {message}" + (f"; {remedy}" if remedy else "")


def test_no_pods_are_refused_while_the_condition_is_absent_or_false():
    assert refused_pods([]) == refused_pods([{"type": "ReplicaFailure", "status": "False", "message": "x"}]) == ""
