"""Boxes, anchor points, decoding and NMS with the results of Paddle's."""
