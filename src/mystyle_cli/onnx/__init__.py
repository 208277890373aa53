"""Inference without torch: ONNX sessions."""
