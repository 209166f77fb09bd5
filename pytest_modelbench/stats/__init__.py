"""Intervals, paired comparisons and sequential decisions. Knows numbers only.

Throughout, `alpha` is the error that one side of an interval may make: an interval at `alpha` covers with
probability `1 - 2 * alpha`, and each of its ends alone with `1 - alpha`.
"""
