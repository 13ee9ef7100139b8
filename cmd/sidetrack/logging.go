package main

import (
	"io"
	"log/slog"
)

// logging is the flags of the log, which goes to standard error.
type logging struct {
	Level  string `enum:"debug,info,warn,error" default:"info" help:"How much to log: ${enum}."`
	Format string `enum:"text,json" default:"text" help:"Format of the log: ${enum}."`
}

func (l logging) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(l.Level)) // the flag admits levels only
	options := &slog.HandlerOptions{Level: level}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
