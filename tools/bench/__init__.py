"""`make bench`: the costs of a fill beside those of its rivals, on one machine and in one run."""
