"""What anomalies are found by: evidence, its calibration, and reasons."""
