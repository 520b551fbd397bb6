"""What runs a PicoDet, whatever file it comes in, and what is drawn of it."""
