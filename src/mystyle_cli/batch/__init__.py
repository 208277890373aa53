"""Many photos: what is asked of them, handed out, read, worked on, written, told; and the runs kept of it."""
