package config

import "github.com/sidetrack-go/sidetrack/sources"

// complete gives built-in sources what other parts of the file know: the logger, and
// the origins of all sites where the source does not list its own.
func (b *builder) complete(config any) bool {
	switch c := config.(type) {
	case *sources.HTTPConfig:
		c.Logger = b.logger
		c.Sites = b.config.Pipeline.Sites
		if len(c.Origins) == 0 {
			for _, s := range b.config.Pipeline.Sites {
				c.Origins = append(c.Origins, s.Origins...)
			}
		}
	case *sources.AccessLogConfig:
		c.Logger = b.logger
	}
	return true
}
