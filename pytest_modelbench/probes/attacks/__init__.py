"""Adversarial attacks: small, seeded, and accepted by the model that ships. They give bounds, not proofs."""
