"""Bytes per rank: weights, KV cache, activations and engine overhead. Knows no speed."""
