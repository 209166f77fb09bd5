"""A class for each pixel: KPIs of the task segmentation."""
