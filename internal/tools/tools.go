//go:build tools

// Package tools pins the tools of the build apart from the library's dependencies.
package tools

import _ "honnef.co/go/tools/cmd/staticcheck"
