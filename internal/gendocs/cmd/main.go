// Command cmd writes what is generated from doc comments; see package gendocs. Run it by go generate ./...
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/sidetrack-go/sidetrack/internal/gendocs"
)

func main() {
	root, err := gendocs.Root()
	if err == nil {
		err = write(root)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gendocs:", err)
		os.Exit(1)
	}
}

func write(root string) error {
	files, err := gendocs.Generate(root)
	if err != nil {
		return err
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(root, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
