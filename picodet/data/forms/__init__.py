"""Datasets as people have them, COCO, Pascal VOC and YOLO, read into the same annotations."""
