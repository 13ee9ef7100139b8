package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

type versionCommand struct{ outputFlag }

// Help is the longer text of --help.
func (versionCommand) Help() string {
	return `Prints the version, the revision it was built from, and what it was built with.

  sidetrack version
  sidetrack version --output json`
}

// Run implements the command.
func (c versionCommand) Run(a *app) error {
	v := struct {
		Version  string `json:"version"`
		Revision string `json:"revision,omitempty"`
		Go       string `json:"go"`
		Platform string `json:"platform"`
	}{"unknown", "", runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		v.Version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.Revision = s.Value
			}
		}
	}
	if c.json() {
		return printJSON(a.out, v)
	}
	revision := ""
	if v.Revision != "" {
		revision = " " + v.Revision
	}
	_, err := fmt.Fprintf(a.out, "sidetrack %s%s %s %s\n", v.Version, revision, v.Go, v.Platform)
	return err
}
