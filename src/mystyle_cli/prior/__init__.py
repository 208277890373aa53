"""A domain prior as a folder: `prior.toml` and a file for each role; those that are bundled."""
