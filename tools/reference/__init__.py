"""Draws a data set and trains networks on it, to judge quantization with."""
