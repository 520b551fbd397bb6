"""Which anchor points take which ground truth box."""
