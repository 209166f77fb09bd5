"""Models under the load that production offers: requests that arrive by a schedule, and wait for their turn."""
