"""Command lines of the embedded home."""
