"""Ablations: one trainer, one small equal budget, one thing changed at a time, over several seeds."""
