"""Networks and where they compute: generator, LPIPS, ONNX files written and run, devices, memory."""
