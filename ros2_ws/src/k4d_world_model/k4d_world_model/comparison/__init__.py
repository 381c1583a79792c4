"""What was predicted of a plan against what happened when it was executed: aligned in time, in figures and pictures."""
