"""What sd-sd35 offers: nothing yet; its network is still to come."""
