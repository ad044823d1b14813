"""Speed as ratios in one run; each module prints a table and, with `--write`, keeps it in `results/`."""
