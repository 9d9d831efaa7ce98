"""What Elasticsearch and Kibana are told about our logs."""
