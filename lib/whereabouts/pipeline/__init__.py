"""How notebooks are run: one by one, side by side, or as Slurm jobs, with which parameters."""
