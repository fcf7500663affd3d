"""A stand-in for Triton's vLLM backend: reads the same files and answers the same inputs, without an engine.

Parameters of a request steer it: ``hold`` names a file that must exist before the answer comes, and the file
beside it with the suffix ``.waiting`` tells that the request has arrived.
"""

import asyncio
import json
import threading
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """What the Python backend loads."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read ``model.json`` from the version directory, as the real backend does."""
        config = json.loads(args["model_config"])
        if not pb_utils.using_decoupled_model_transaction_policy(config):
            raise pb_utils.TritonModelException("the vLLM backend needs a decoupled model")
        self._arguments = json.loads((Path(pb_utils.get_model_dir()) / "model.json").read_text())
        wanted = config["parameters"].get("REPORT_CUSTOM_METRICS", {}).get("string_value") == "true"
        self._tokens = None
        if wanted and not self._arguments["disable_log_stats"]:
            self._family = pb_utils.MetricFamily(
                name="vllm:generation_tokens_total",
                description="Number of generation tokens processed.",
                kind=pb_utils.MetricFamily.COUNTER,
            )
            self._tokens = self._family.Metric(labels={"model": args["model_name"], "version": args["model_version"]})

        # One loop in a thread of its own answers all requests, as in the real backend.
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def execute(self, requests: list) -> None:
        """Hand each request to the loop."""
        for request in requests:
            asyncio.run_coroutine_threadsafe(self._answer(request, request.get_response_sender()), self._loop)

    async def _answer(self, request: object, sender: object) -> None:
        parameters = json.loads(request.parameters() or "{}")
        if "hold" in parameters:
            release = Path(parameters["hold"])
            release.with_suffix(".waiting").touch()
            while not release.exists():
                await asyncio.sleep(0.02)
        if self._tokens is not None:
            self._tokens.increment(parameters.get("max_tokens", 16))
        text = json.dumps(self._arguments, sort_keys=True).encode()
        answer = pb_utils.InferenceResponse([pb_utils.Tensor("text_output", np.array([text], dtype=np.object_))])
        sender.send(answer, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
