"""What the monitoring components say to Prometheus and Alertmanager, and what is checked of it."""
