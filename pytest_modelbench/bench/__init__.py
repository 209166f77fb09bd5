"""Takes every measurement once, and judges gates by it. Knows no pytest."""
