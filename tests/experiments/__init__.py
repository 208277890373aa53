"""The experiments on people."""
