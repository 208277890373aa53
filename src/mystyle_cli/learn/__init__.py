"""From a folder of photos to a profile, resumable; what that costs and how well it went (sec. 3.1)."""
