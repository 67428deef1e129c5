"""What sd-dit offers."""
