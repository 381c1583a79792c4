"""Meta-World as an outside ground truth: its own environments and scripted policies, run in its own process."""
