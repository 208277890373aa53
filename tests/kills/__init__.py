"""Commands killed at any instant, through the real command line."""
