"""Statistics, calibration and scores over results; pure functions of arrays and tables."""
