"""Sends a report to a result tracker: one file for each tracker, and one that makes neutral rows of the report."""
