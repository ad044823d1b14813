"""What one run of each method is."""
