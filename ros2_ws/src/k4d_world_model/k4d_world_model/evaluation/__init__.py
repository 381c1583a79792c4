"""How good predictions are: figures of rollouts against what really happened, over held-out episodes."""
