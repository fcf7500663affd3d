"""The demo: two models on a fake cluster of this machine, from `kubectl apply` to Ready pods.

Starts the local control plane with H100, A100, L40S and RTX 4090 nodes, runs the operator against it, applies two
samples with the real kubectl, shows the plans with their reasons, approves the one that waits for it (R1, two pods on
two nodes), waits until the pods run where they were planned, and takes everything down. With ``--keep`` it stays up
until Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deepseek_operator import sandbox
from deepseek_operator.cli.output import console
from deepseek_operator.cli.sandbox import install_resources

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
SAMPLES = ROOT / "manifests" / "samples"
RUNNING = "deepseek-67b"
TWO_NODES = "deepseek-r1"
WAIT_SECONDS = 180


def main() -> int:
    """Run the demo; 0 when everything became as planned."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="keep everything running until Ctrl-C")
    keep = parser.parse_args().keep
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="deepseek-demo-") as folder,
        cluster(Path(folder) / "sandbox") as state,
        operator_process(state, Path(folder) / "operator.log"),
    ):
        code = show(Demo(state))
        print(f"\ndemo: {time.monotonic() - started:.0f} s without the set-up")
        if keep:
            stay(state)
    return code


@contextlib.contextmanager
def cluster(directory: Path) -> Iterator[sandbox.SandboxState]:
    """Start the control plane; take it down whatever happens."""
    state = sandbox.up(directory, sandbox.DEFAULT_NODES, progress=sandbox.on_stderr(), ends_with_caller=True)
    try:
        install_resources(state.kubectl, state.kubeconfig)
        yield state
    finally:
        sandbox.down(directory)


@contextlib.contextmanager
def operator_process(state: sandbox.SandboxState, log: Path) -> Iterator[None]:
    """Run the operator as its own process; show its log when it ends by itself."""
    command = [str(BIN / "deepseek-operator"), "run", "--kubeconfig", str(state.kubeconfig)]
    command += ["--lease-namespace", "default", "--address", "127.0.0.1", "--port", "0"]
    command += ["--no-engine-metrics"]  # fake pods have addresses where no engine listens
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        if process.poll() is not None:
            print(f"the operator ended by itself with code {process.returncode}:\n{log.read_text()}", file=sys.stderr)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


class Demo:
    """The user's side: kubectl and the plugin against the sandbox."""

    def __init__(self, state: sandbox.SandboxState) -> None:
        self.state = state
        self.environment = {**os.environ, "KUBECONFIG": str(state.kubeconfig)}

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """Run kubectl and return what it printed."""
        return self._run(str(self.state.kubectl), *arguments, given=given)

    def plugin(self, *arguments: str) -> str:
        """Run the plugin and return what it printed."""
        return self._run(str(BIN / "kubectl-deepseek"), *arguments)

    def json(self, *arguments: str) -> dict[str, Any]:
        """Run kubectl with JSON output and return the answer."""
        answer: dict[str, Any] = json.loads(self.kubectl(*arguments, "-o", "json"))
        return answer

    def wait(self, what: str, *arguments: str) -> None:
        """Wait with kubectl until a condition holds."""
        print(f"waiting: {what} ...", flush=True)
        self.kubectl("wait", f"--timeout={WAIT_SECONDS}s", *arguments)

    def _run(self, *command: str, given: str | None = None) -> str:
        done = subprocess.run(command, env=self.environment, input=given, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command[:3])} ...: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout


def show(demo: Demo) -> int:
    """Apply, look at the plans, wait, and compare what runs with what was planned."""
    screen = console()
    screen.rule("The cluster: fake nodes, real Kubernetes")
    print(demo.plugin("inventory", "-o", "table"))
    files = [str(SAMPLES / f"{name}.yaml") for name in (RUNNING, TWO_NODES)]
    screen.rule("kubectl apply -f manifests/samples/deepseek-67b.yaml -f manifests/samples/deepseek-r1.yaml")
    print(demo.kubectl("apply", "-f", files[0], "-f", files[1]))
    for name, file in zip((RUNNING, TWO_NODES), files, strict=True):
        demo.wait(f"{name} is planned", "--for=condition=Planned", f"dsd/{name}")
        screen.rule(f"kubectl deepseek plan -f manifests/samples/{name}.yaml")
        print(demo.plugin("plan", "-f", file))
    approve(demo)
    demo.wait(f"{RUNNING} is Ready", "--for=condition=Ready", f"dsd/{RUNNING}")
    demo.wait(f"{TWO_NODES} is Ready", "--for=jsonpath={.status.readyReplicas}=1", f"dsd/{TWO_NODES}")
    screen.rule("What runs")
    print(demo.kubectl("get", "dsd"))
    print(demo.kubectl("get", "pods", "-o", "wide"))
    wrong = [*misplaced(demo), *different(demo, files)]
    for line in wrong:
        print(f"WRONG: {line}", file=sys.stderr)
    print(NEXT)
    return 1 if wrong else 0


def approve(demo: Demo) -> None:
    """Let the plan that waits for a person run; its weights lie on a volume that every node can mount."""
    print(demo.kubectl("apply", "-f", "-", given=json.dumps(VOLUME)), end="")
    proposed = demo.json("get", "dsd", TWO_NODES)["status"]["proposedPlan"]["hash"]
    patch = json.dumps({"spec": {"approvedPlan": proposed}})
    console().rule(f"kubectl patch dsd {TWO_NODES} --type=merge --patch='{patch}'")
    print(demo.kubectl("patch", "dsd", TWO_NODES, "--type=merge", f"--patch={patch}"))


VOLUME = {
    "apiVersion": "v1",
    "kind": "PersistentVolume",
    "metadata": {"name": "shared-file-system"},
    "spec": {
        "capacity": {"storage": "2Ti"},
        "accessModes": ["ReadWriteMany"],
        "hostPath": {"path": "/srv/models"},
    },
}
"""Stands for the storage class of a real cluster; the fake nodes mount nothing."""


def misplaced(demo: Demo) -> list[str]:
    """Return a sentence for every pod that is not on the planned product, and for a group on too few nodes."""
    wrong = [line for name in (RUNNING, TWO_NODES) for line in misplaced_of(demo, name)]
    places = {pod["spec"].get("nodeName", "") for pod in pods_of(demo, TWO_NODES)}
    return wrong if len(places) == 2 else [*wrong, f"{TWO_NODES} runs on {len(places)} nodes, not on 2"]


def pods_of(demo: Demo, name: str) -> list[dict[str, Any]]:
    """Return the pods that run a model, leaders and workers alike."""
    selector = f"deepseek-operator.io/deployment={name},deepseek-operator.io/role"
    pods: list[dict[str, Any]] = demo.json("get", "pods", "-l", selector)["items"]
    return pods


def misplaced_of(demo: Demo, name: str) -> list[str]:
    """Return a sentence for every pod of one object that is not on the planned product."""
    labels = {node["metadata"]["name"]: node["metadata"]["labels"] for node in demo.json("get", "nodes")["items"]}
    gpu = demo.json("get", "dsd", name)["status"]["plan"]["gpu"]
    planned = {node.name for node in sandbox.DEFAULT_NODES if node.gpu_id == gpu}
    places = {pod["metadata"]["name"]: pod["spec"].get("nodeName", "") for pod in pods_of(demo, name)}
    if not places:
        return [f"{name} has no pods"]
    return [
        f"{pod} runs on {node or 'no node'} ({labels.get(node, {}).get('nvidia.com/gpu.product', '?')}), not on {gpu}"
        for pod, node in places.items()
        if node not in planned
    ]


def different(demo: Demo, files: list[str]) -> list[str]:
    """Return a sentence for every object whose status differs from what `plan -o json` says."""
    wrong = []
    for name, file in zip((RUNNING, TWO_NODES), files, strict=True):
        status = demo.json("get", "dsd", name)["status"]
        shown = status.get("plan") or status["proposedPlan"]
        answered = json.loads(demo.plugin("plan", "-f", file, "-o", "json"))["items"][0]["plan"]
        if shown != answered:
            wrong.append(f"the plan in the status of {name} differs from `kubectl deepseek plan -o json`")
    return wrong


NEXT = """What to try next:
  make sandbox                                     keep this cluster up; then, with the KUBECONFIG that it prints:
  kubectl deepseek plan -f manifests/samples/deepseek-r1.yaml -o json
  kubectl deepseek estimate --model deepseek-ai/DeepSeek-R1 --gpu h200-sxm --tensor-parallel-size 8
  kubectl describe dsd deepseek-r1                 the whole story of one object: conditions, plan, events
  kubectl apply -f manifests/samples/              all samples"""


def stay(state: sandbox.SandboxState) -> None:
    """Tell how to use the cluster and wait for Ctrl-C."""
    print(f"\nThe cluster stays up until Ctrl-C. In another terminal:\n  export KUBECONFIG={state.kubeconfig}")
    print(f"  export PATH={BIN}:{state.kubectl.parent}:$PATH\n  kubectl get dsd -o wide", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()
    print("taking everything down")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("demo: interrupted; everything was taken down")
