"""Robustness: what stays right when inputs get harder, and how much of it a student loses against its teacher."""
