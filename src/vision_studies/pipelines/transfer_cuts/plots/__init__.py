"""The figures of `transfer_cuts`."""
