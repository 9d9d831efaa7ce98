//go:build tools

// Package tools names the packages that are built as they are, so that `go mod tidy` keeps their modules.
package tools

import (
	_ "github.com/nginx/nginx-prometheus-exporter"
	_ "github.com/oliver006/redis_exporter"
	_ "github.com/prometheus-community/postgres_exporter/cmd/postgres_exporter"
	_ "github.com/prometheus/blackbox_exporter"
	_ "github.com/prometheus/node_exporter"
	_ "github.com/prometheus/prometheus/cmd/prometheus"
	_ "github.com/prometheus/prometheus/cmd/promtool"
	_ "k8s.io/kube-state-metrics/v2"
)
