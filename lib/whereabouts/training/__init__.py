"""The training loop, the learners of each kind, and what they leave: checkpoints and weights."""
