"""Files of weights that other programs wrote: read without running anything in them."""
