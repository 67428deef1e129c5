"""What sd-data offers."""
