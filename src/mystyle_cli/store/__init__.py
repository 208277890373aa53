"""The folder of profiles: which there are, who changes one now, the next version, one as a single file."""
