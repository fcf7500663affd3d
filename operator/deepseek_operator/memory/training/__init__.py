"""Bytes of training and fine-tuning: formulas over the shape of a model. Knows no speed."""
