"""`make bench`: what a fill costs, beside what it is compared to, on one machine and in one run."""
