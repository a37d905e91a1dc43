"""`make check-gpu`: whether everything that is trained computes on a GPU what it computes on a CPU, and how fast."""
