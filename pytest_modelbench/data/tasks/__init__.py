"""Evaluation data with other answers than one label: boxes, masks, tags, forecasts, rankings, embeddings.

One file for each task holds its class of data: which arguments it takes, and in which forms targets and outputs come.
"""
