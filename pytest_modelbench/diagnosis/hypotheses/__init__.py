"""One file for each hypothesis; each is a `Hypothesis` named in `diagnosis.catalogue`."""
