"""Files that other programs wrote: read without running anything in them, then understood."""
