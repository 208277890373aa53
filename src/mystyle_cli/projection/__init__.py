"""The code whose degraded image is nearest to a degraded input (sec. 3.3, B.2, C.4)."""
