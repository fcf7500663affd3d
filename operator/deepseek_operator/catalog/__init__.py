"""Facts with sources: models, GPUs, cloud instances, quantizations and engine releases. Computes no plans."""
