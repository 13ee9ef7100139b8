// Package full is everything that is built in: what standard has, and the sinks for databases, some of
// which bring a driver with them. The command uses it. A program that does not need those sinks uses standard, and links no driver.
package full

import (
	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/pipeline/standard"
	"github.com/sidetrack-go/sidetrack/sinks/clickhouse"
	"github.com/sidetrack-go/sidetrack/sinks/postgres"
)

// Registry returns a new registry: that of standard, and the sinks with drivers of their own.
func Registry() *sidetrack.Registry {
	r := standard.Registry()
	sidetrack.AddSink(r, "clickhouse", clickhouse.Defaults, clickhouse.New)
	sidetrack.AddSink(r, "postgres", postgres.Defaults, postgres.New)
	return r
}
