"""A stand-in for Triton's TensorRT-LLM backend: takes the same tensors and returns the prompt's token ids.

It is no TensorRT-LLM; it shows that the real server accepts the configuration and how requests arrive.
"""

import json

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """What the Python backend loads."""

    def initialize(self, args: dict[str, str]) -> None:
        """Keep the parameters of the model."""
        config = json.loads(args["model_config"])
        self._parameters = {name: each["string_value"] for name, each in config["parameters"].items()}

    def execute(self, requests: list) -> None:
        """Return the first ``request_output_len`` ids of each prompt."""
        for request in requests:
            ids = pb_utils.get_input_tensor_by_name(request, "input_ids").as_numpy()
            asked = int(pb_utils.get_input_tensor_by_name(request, "request_output_len").as_numpy().reshape(-1)[0])
            answered = np.array([[ids.reshape(-1)[:asked]]], dtype=np.int32)
            length = np.array([[asked]], dtype=np.int32)
            none = np.zeros((1, 1), dtype=np.float32)
            outputs = [
                pb_utils.Tensor("output_ids", answered),
                pb_utils.Tensor("sequence_length", length),
                pb_utils.Tensor("cum_log_probs", none),
                pb_utils.Tensor("output_log_probs", np.zeros((1, 1, 1), dtype=np.float32)),
            ]
            sender = request.get_response_sender()
            sender.send(pb_utils.InferenceResponse(outputs), flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
