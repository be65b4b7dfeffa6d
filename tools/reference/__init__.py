"""Trained networks without a data set from elsewhere: what quantization is judged with."""
