package main

import (
	"github.com/sidetrack-go/sidetrack/config"
	"github.com/sidetrack-go/sidetrack/pipeline/standard/full"
)

type schemaCommand struct{}

// Help is the longer text of --help.
func (schemaCommand) Help() string {
	return `Prints a JSON Schema (draft 2020-12) of configuration files, with the documentation of every key, for editors that
complete and check YAML. It is made of the types that files are read into. "sidetrack validate" checks more.

  sidetrack schema > sidetrack.schema.json`
}

// Run implements the command.
func (schemaCommand) Run(a *app) error {
	data, err := config.Schema(full.Registry(), config.BuiltinComments())
	if err != nil {
		return err
	}
	_, err = a.out.Write(data)
	return err
}
