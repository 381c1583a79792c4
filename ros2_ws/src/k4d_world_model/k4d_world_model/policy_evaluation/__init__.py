"""Policies judged in a simulator and in a world model's prediction: how far the two verdicts agree."""
