"""What sd-localmamba offers: nothing yet; its network is still to come."""
