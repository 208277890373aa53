"""What `make demo` runs: from a folder of photos to repaired photos, and a page that shows it."""
