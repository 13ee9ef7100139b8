package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

type initCommand struct {
	File string `arg:"" optional:"" default:"sidetrack.yaml" help:"File to write. Default: ${default}." completion:"files"`
}

//go:embed init.yaml
var firstConfig []byte

// Help is the longer text of --help.
func (initCommand) Help() string {
	return `Writes a commented configuration that runs as it is and asks nothing. A file that exists is never overwritten.

  sidetrack init && sidetrack test && sidetrack run
  sidetrack init shop.yaml`
}

// Run implements the command.
func (c *initCommand) Run(a *app) error {
	f, err := os.OpenFile(c.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return usageError{fmt.Errorf("%s exists: name another file, or remove it first", c.File)}
	}
	if err != nil {
		return err
	}
	_, err = f.Write(firstConfig)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	name := ""
	if c.File != "sidetrack.yaml" {
		name = " -c " + c.File
	}
	fmt.Fprintf(a.out, "%[1]s is written. Now:\n\n  sidetrack test%[2]s      run its tests\n  sidetrack run%[2]s       run it\n  sidetrack schema > sidetrack.schema.json   what the first line of the file tells your editor\n", c.File, name)
	return nil
}
