"""Boxes, anchor points, decoding and NMS as Paddle does them."""
