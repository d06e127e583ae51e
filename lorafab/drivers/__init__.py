"""Real adapters: one file each for what lorafab.interfaces asks for, one door for each third-party library."""
