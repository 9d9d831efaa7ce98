"""Sets that bind database, uploads, cluster objects and monitoring data into one point that can be restored."""
