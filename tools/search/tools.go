//go:build tools

// Package tools names the packages that are built as they are, so that `go mod tidy` keeps their modules.
package tools

import (
	_ "github.com/prometheus-community/elasticsearch_exporter"
)
