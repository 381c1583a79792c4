"""Builds: every episode of a source on its own, in workers of one machine or many."""
