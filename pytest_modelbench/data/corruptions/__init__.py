"""Corruptions: named, versioned ways to make inputs harder, the same for every model; a file for each family."""
