"""What survives attacks."""
