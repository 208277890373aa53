"""Inference without torch: G_p as an ONNX net, and what runs it."""
