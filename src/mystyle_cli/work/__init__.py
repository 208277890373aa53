"""One task on photos, of one person, of everybody, in clips: what is asked of the core, said and written."""
