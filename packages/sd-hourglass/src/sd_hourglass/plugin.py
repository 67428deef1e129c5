"""What sd-hourglass offers: nothing yet; its network is still to come."""
