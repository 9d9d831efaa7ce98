//go:build tools

// Package tools names the packages that are built as they are, so that `go mod tidy` keeps their modules.
package tools

import (
	_ "github.com/prometheus/alertmanager/cmd/alertmanager"
	_ "github.com/prometheus/alertmanager/cmd/amtool"
	_ "sigs.k8s.io/prometheus-adapter/cmd/adapter"
)
