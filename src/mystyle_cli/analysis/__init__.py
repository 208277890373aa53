"""What the method does, measured (sec. 4, 5 and app. C)."""
