// Command logstash-lint parses pipelines of Logstash, and says of each that does not parse where and why.
package main

import (
	"fmt"
	"os"

	config "github.com/breml/logstash-config"
)

func main() {
	failed := false
	for _, path := range os.Args[1:] {
		if _, err := config.ParseFile(path); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			failed = true
		}
	}
	if failed || len(os.Args) < 2 {
		os.Exit(1)
	}
}
