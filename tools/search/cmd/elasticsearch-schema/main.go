// Command elasticsearch-schema reads the body of a request to Elasticsearch and writes what of it Elasticsearch's own
// client knows, by the types that Elastic generates from the specification of its API: what is missing from the answer,
// the API does not have. Usage: elasticsearch-schema KIND < body.json
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"sort"

	"github.com/elastic/go-elasticsearch/v8/typedapi/cluster/putcomponenttemplate"
	ilm "github.com/elastic/go-elasticsearch/v8/typedapi/ilm/putlifecycle"
	"github.com/elastic/go-elasticsearch/v8/typedapi/indices/putindextemplate"
	"github.com/elastic/go-elasticsearch/v8/typedapi/ingest/putpipeline"
	"github.com/elastic/go-elasticsearch/v8/typedapi/security/putrole"
	"github.com/elastic/go-elasticsearch/v8/typedapi/security/putuser"
	slm "github.com/elastic/go-elasticsearch/v8/typedapi/slm/putlifecycle"
	"github.com/elastic/go-elasticsearch/v8/typedapi/types"
)

var kinds = map[string]func() any{
	"component-template": func() any { return putcomponenttemplate.NewRequest() },
	"index-template":     func() any { return putindextemplate.NewRequest() },
	"ingest-pipeline":    func() any { return putpipeline.NewRequest() },
	"lifecycle-policy":   func() any { return ilm.NewRequest() },
	"repository":         func() any { return types.NewS3Repository() },
	"role":               func() any { return putrole.NewRequest() },
	"snapshot-policy":    func() any { return slm.NewRequest() },
	"user":               func() any { return putuser.NewRequest() },
}

func main() {
	if len(os.Args) != 2 || kinds[os.Args[1]] == nil {
		names := make([]string, 0, len(kinds))
		for name := range kinds {
			names = append(names, name)
		}
		sort.Strings(names)
		fail(fmt.Errorf("name one of %v", names))
	}
	body := kinds[os.Args[1]]()
	if err := json.NewDecoder(os.Stdin).Decode(body); err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(body); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintf(os.Stderr, "elasticsearch-schema: %v\n", err)
	os.Exit(1)
}
