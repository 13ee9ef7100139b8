package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/sidetrack-go/sidetrack/config"
	"github.com/sidetrack-go/sidetrack/pipeline/standard/full"
)

type componentsCommand struct {
	Names []string `arg:"" optional:"" name:"name" help:"Components whose keys are shown. Default: a list of all." completion:"components"`
	Kind  string   `enum:"source,decoder,processor,sink,all" default:"all" placeholder:"KIND" help:"Only these: ${enum}."`
	outputFlag
}

// Help is the longer text of --help.
func (componentsCommand) Help() string {
	return `Lists what a configuration file can be composed of, or the keys of some of it.

  sidetrack components
  sidetrack components --kind sink
  sidetrack components ga4 bots
  sidetrack components --output json`
}

// Run implements the command.
func (c *componentsCommand) Run(a *app) error {
	all := config.Components(full.Registry(), config.BuiltinComments())
	var chosen []config.Component
	for _, x := range all {
		if (c.Kind == "all" || c.Kind == x.Kind) && (len(c.Names) == 0 || slices.Contains(c.Names, x.Name)) {
			chosen = append(chosen, x)
		}
	}
	for _, name := range c.Names {
		if !slices.ContainsFunc(chosen, func(x config.Component) bool { return x.Name == name }) {
			return usageError{fmt.Errorf("there is no component %q: \"sidetrack components\" lists them", name)}
		}
	}
	switch {
	case c.json():
		return printJSON(a.out, chosen)
	case len(c.Names) > 0:
		printKeys(a.out, chosen)
	default:
		printComponents(a.out, chosen)
	}
	return nil
}

func printComponents(w io.Writer, list []config.Component) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	kind := ""
	for _, x := range list {
		if x.Kind != kind {
			if kind != "" {
				fmt.Fprintln(t)
			}
			kind = x.Kind
			fmt.Fprintln(t, kind+"s")
		}
		summary := x.Summary
		if x.IntakeOnly {
			summary += " (intake only)"
		}
		fmt.Fprintf(t, "  %s\t%s\n", x.Name, summary)
	}
	_ = t.Flush()
}

func printKeys(w io.Writer, list []config.Component) {
	for i, x := range list {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s %s: %s\n", x.Kind, x.Name, x.Summary)
		if len(x.Paths) > 0 {
			fmt.Fprintf(w, "  served at %s\n", strings.Join(x.Paths, ", "))
		}
		for _, k := range x.Keys {
			kind := k.Kind
			if k.Values != nil {
				kind = strings.Join(k.Values, ", ")
			}
			if k.Default != "" {
				kind += "; default " + k.Default
			}
			if k.Required {
				kind += "; required"
			}
			if k.IntakeOnly {
				kind += "; intake only"
			}
			fmt.Fprintf(w, "  %s (%s)\n      %s\n", k.Name, kind, k.Doc)
		}
	}
}
