package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/sidetrack-go/sidetrack/config"
	"github.com/sidetrack-go/sidetrack/pipeline"
)

type testCommand struct {
	Files   []string `arg:"" optional:"" name:"file" help:"Configuration files. Default: sidetrack.yaml." completion:"files"`
	Config  string   `short:"c" placeholder:"FILE" help:"The same as a file given without a flag." completion:"files"`
	JUnit   string   `name:"junit" placeholder:"FILE" help:"Also write the results to this file as JUnit XML." completion:"files"`
	Verbose bool     `short:"v" help:"Explain the events of tests that fail."`
	outputFlag
}

// Help is the longer text of --help.
func (testCommand) Help() string {
	return `Runs the tests of configuration files, each on components of its own. Nothing is stored or sent.

Exit code 0 when all pass, 1 when one fails, 2 when a file is not valid.

  sidetrack test
  sidetrack test shop.yaml blog.yaml --junit results.xml
  sidetrack test --output json`
}

// fileResult is how the tests of one file went.
type fileResult struct {
	File  string              `json:"file"`
	Tests []config.TestResult `json:"tests"`
}

// Run implements the command.
func (c *testCommand) Run(a *app) error {
	files := c.Files
	if c.Config != "" {
		files = append(files, c.Config)
	}
	if len(files) == 0 {
		files = []string{"sidetrack.yaml"}
	}
	var results []fileResult
	for _, file := range files {
		quiet := *a
		quiet.err = io.Discard // warnings are for validate and run
		cfg, err := configFlag{Config: file}.load(&quiet, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		tests, err := cfg.RunTests(context.Background())
		if err != nil {
			return err
		}
		if err := cfg.Close(); err != nil {
			return err
		}
		results = append(results, fileResult{cfg.Name, tests})
	}
	failed := c.print(a, results)
	if c.JUnit != "" {
		data, err := junit(results)
		if err != nil {
			return err
		}
		if err := os.WriteFile(c.JUnit, data, 0o644); err != nil {
			return err
		}
	}
	if failed > 0 {
		return printedError{exitFailed}
	}
	return nil
}

// print prints the results and returns how many tests failed.
func (c *testCommand) print(a *app, results []fileResult) (failed int) {
	total := 0
	for _, r := range results {
		for _, t := range r.Tests {
			total++
			if len(t.Failures) > 0 {
				failed++
			}
		}
	}
	if c.json() {
		_ = printJSON(a.out, results)
		return failed
	}
	for _, r := range results {
		for _, t := range r.Tests {
			if len(t.Failures) == 0 {
				fmt.Fprintf(a.out, "ok    %s\n", t.Name)
				continue
			}
			fmt.Fprintf(a.out, "FAIL  %s\n", t.Name)
			for _, f := range t.Failures {
				fmt.Fprintf(a.out, "      %s:%d:%d: %s: %s\n", r.File, f.Line, f.Column, f.Path, strings.ReplaceAll(f.Message, "\n", "\n        "))
			}
			if c.Verbose {
				explainFailure(a.out, t.Explanation)
			}
		}
	}
	switch {
	case total == 0:
		fmt.Fprintln(a.out, "there are no tests: write some below the key tests")
	case failed == 0:
		fmt.Fprintf(a.out, "%s passed\n", count(total, "test"))
	default:
		fmt.Fprintf(a.out, "%d of %s failed\n", failed, count(total, "test"))
	}
	return failed
}

func explainFailure(w io.Writer, x pipeline.Explanation) {
	var b bytes.Buffer
	printExplanation(&b, x)
	fmt.Fprintf(w, "      %s\n", strings.ReplaceAll(strings.TrimRight(b.String(), "\n"), "\n", "\n      "))
}

// The JUnit format as CI systems read it.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		File    string        `xml:"file,attr"`
		Line    int           `xml:"line,attr"`
		Failure *junitFailure `xml:"failure"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

func junit(results []fileResult) ([]byte, error) {
	var all junitSuites
	for _, r := range results {
		suite := junitSuite{Name: r.File, Tests: len(r.Tests)}
		for _, t := range r.Tests {
			jc := junitCase{Name: t.Name, Class: r.File, File: r.File, Line: t.Line}
			if len(t.Failures) > 0 {
				suite.Failures++
				var lines []string
				for _, f := range t.Failures {
					lines = append(lines, fmt.Sprintf("%s:%d:%d: %s: %s", r.File, f.Line, f.Column, f.Path, f.Message))
				}
				jc.Failure = &junitFailure{Message: t.Failures[0].Path + ": " + t.Failures[0].Message, Text: strings.Join(lines, "\n")}
			}
			suite.Cases = append(suite.Cases, jc)
		}
		all.Tests, all.Failures = all.Tests+suite.Tests, all.Failures+suite.Failures
		all.Suites = append(all.Suites, suite)
	}
	data, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(append([]byte(xml.Header), data...), '\n'), nil
}
