"""From a folder of photos to a reference set, with a reason for every refusal (paper, app. A)."""
