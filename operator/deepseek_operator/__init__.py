"""deepseek-operator: plans, runs and scales DeepSeek models on Kubernetes GPUs.

The package is a house of floors (``docs/architecture.md``); a floor imports only from floors below it.
Nothing here acts on import.
"""

__version__ = "0.1.0"
