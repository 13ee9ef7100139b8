package jetstream

import (
	"fmt"
	"log/slog"
)

// serverLog hands the server's log to slog. Its notices are of interest only
// while debugging; its debug and trace output is never switched on, because a
// trace prints payloads.
type serverLog struct{ log *slog.Logger }

func (l serverLog) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l serverLog) Warnf(format string, v ...any)   { l.log.Warn(fmt.Sprintf(format, v...)) }
func (l serverLog) Errorf(format string, v ...any)  { l.log.Error(fmt.Sprintf(format, v...)) }
func (l serverLog) Fatalf(format string, v ...any)  { l.log.Error(fmt.Sprintf(format, v...)) }
func (serverLog) Debugf(string, ...any)             {}
func (serverLog) Tracef(string, ...any)             {}
