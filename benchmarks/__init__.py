"""Speed, measured side by side: each module is one benchmark, whose `run` returns what it found."""
