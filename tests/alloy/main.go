// Command alloycheck is `alloy validate` with those of Alloy's components alone that a studio's configuration has: a
// part of what the whole of Alloy takes to build. They are internal to Alloy, which is why this module's path is below
// Alloy's; nothing of it is published.
//
//	alloycheck FILE...
package main

import (
	"fmt"
	"os"

	"github.com/grafana/alloy/internal/component"
	"github.com/grafana/alloy/internal/featuregate"
	"github.com/grafana/alloy/internal/validator"

	_ "github.com/grafana/alloy/internal/component/discovery/relabel"
	_ "github.com/grafana/alloy/internal/component/local/file_match"
	_ "github.com/grafana/alloy/internal/component/loki/process"
	_ "github.com/grafana/alloy/internal/component/loki/relabel"
	_ "github.com/grafana/alloy/internal/component/loki/source/file"
	_ "github.com/grafana/alloy/internal/component/loki/source/journal"
	_ "github.com/grafana/alloy/internal/component/loki/write"
	_ "github.com/grafana/alloy/internal/component/prometheus/exporter/unix"
	_ "github.com/grafana/alloy/internal/component/prometheus/remotewrite"
	_ "github.com/grafana/alloy/internal/component/prometheus/scrape"
)

func main() {
	failed := 0
	for _, path := range os.Args[1:] {
		text, err := os.ReadFile(path)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		sources := map[string][]byte{path: text}
		err = validator.Validate(validator.Options{
			Sources:           sources,
			ComponentRegistry: component.NewDefaultRegistry(featuregate.StabilityGenerallyAvailable, false),
			MinStability:      featuregate.StabilityGenerallyAvailable,
		})
		if err != nil {
			failed = 1
			validator.Report(os.Stderr, err, sources)
		}
	}
	os.Exit(failed)
}
