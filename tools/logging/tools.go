//go:build tools

// Package tools names the packages that are built as they are, so that `go mod tidy` keeps their modules.
package tools

import (
	_ "github.com/elastic/beats/v7/filebeat/cmd"
	_ "github.com/elastic/beats/v7/filebeat/input/default-inputs"
)
