"""The way of a line, with what of it can be run here: Filebeat, and OpenSearch in Elasticsearch's place."""
