"""Images and annotations: reading, preprocessing, COCO."""
