package standard

import (
	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/processors"
	"github.com/sidetrack-go/sidetrack/processors/bots"
	"github.com/sidetrack-go/sidetrack/sinks/amplitude"
	"github.com/sidetrack-go/sidetrack/sinks/file"
	"github.com/sidetrack-go/sidetrack/sinks/ga"
	"github.com/sidetrack-go/sidetrack/sinks/generic"
	"github.com/sidetrack-go/sidetrack/sinks/goatcounter"
	"github.com/sidetrack-go/sidetrack/sinks/matomo"
	"github.com/sidetrack-go/sidetrack/sinks/meta"
	"github.com/sidetrack-go/sidetrack/sinks/mixpanel"
	"github.com/sidetrack-go/sidetrack/sinks/plausible"
	"github.com/sidetrack-go/sidetrack/sinks/posthog"
	"github.com/sidetrack-go/sidetrack/sinks/segment"
	"github.com/sidetrack-go/sidetrack/sinks/snowplow"
	"github.com/sidetrack-go/sidetrack/sinks/stdout"
	uasink "github.com/sidetrack-go/sidetrack/sinks/ua"
	"github.com/sidetrack-go/sidetrack/sinks/umami"
	"github.com/sidetrack-go/sidetrack/sinks/webhook"
	"github.com/sidetrack-go/sidetrack/sources"
	"github.com/sidetrack-go/sidetrack/sources/wire/gtag"
	"github.com/sidetrack-go/sidetrack/sources/wire/mp"
	"github.com/sidetrack-go/sidetrack/sources/wire/ua"
)

// Registry returns a new registry of everything built in. Add your own components
// to it, and a configuration file can name them too.
func Registry() *sidetrack.Registry {
	r := new(sidetrack.Registry)

	sidetrack.AddSource(r, "http", sources.DefaultHTTPConfig, sources.NewHTTP)
	sidetrack.AddSource(r, "accesslog", nil, sources.NewAccessLog)

	sidetrack.AddDecoder(r, "json", nil, sources.NewJSON, sidetrack.Paths(sources.JSONPath))
	sidetrack.AddDecoder(r, "pixel", nil, sources.NewPixel, sidetrack.Paths(sources.PixelPath))
	sidetrack.AddDecoder(r, "gtag", nil, gtag.New, sidetrack.Paths(gtag.Paths()...))
	sidetrack.AddDecoder(r, "mp", nil, mp.New, sidetrack.Paths(mp.Paths()...))
	sidetrack.AddDecoder(r, "ua", ua.Defaults, ua.New, sidetrack.Paths(ua.Paths()...))

	sidetrack.AddProcessor(r, "consent", processors.ConsentDefaults, processors.NewConsent, sidetrack.IntakeOnly())
	sidetrack.AddProcessor(r, "visitor", processors.VisitorDefaults, processors.NewVisitor, sidetrack.IntakeOnly())
	sidetrack.AddProcessor(r, "anonymize_ip", processors.AnonymizeIPDefaults, processors.NewAnonymizeIP, sidetrack.IntakeOnly())
	sidetrack.AddProcessor(r, "prefetch", nil, processors.NewPrefetch, sidetrack.IntakeOnly())
	sidetrack.AddProcessor(r, "user_data", nil, processors.NewUserData, sidetrack.IntakeOnly())
	sidetrack.AddProcessor(r, "exclude", nil, processors.NewExclude)
	sidetrack.AddProcessor(r, "bots", bots.Defaults, bots.New)

	sidetrack.AddSink(r, "ga4", ga.Defaults, ga.New)
	sidetrack.AddSink(r, "matomo", nil, matomo.New)
	sidetrack.AddSink(r, "ua", uasink.Defaults, uasink.New)
	sidetrack.AddSink(r, "plausible", plausible.Defaults, plausible.New)
	sidetrack.AddSink(r, "posthog", posthog.Defaults, posthog.New)
	sidetrack.AddSink(r, "segment", segment.Defaults, segment.New)
	sidetrack.AddSink(r, "mixpanel", mixpanel.Defaults, mixpanel.New)
	sidetrack.AddSink(r, "amplitude", amplitude.Defaults, amplitude.New)
	sidetrack.AddSink(r, "meta_capi", meta.Defaults, meta.New)
	sidetrack.AddSink(r, "snowplow", snowplow.Defaults, snowplow.New)
	sidetrack.AddSink(r, "umami", nil, umami.New)
	sidetrack.AddSink(r, "goatcounter", nil, goatcounter.New)
	sidetrack.AddSink(r, "generic", nil, generic.New)
	sidetrack.AddSink(r, "webhook", webhook.Defaults, webhook.New)
	sidetrack.AddSink(r, "file", file.Defaults, file.New)
	sidetrack.AddSink(r, "stdout", stdout.Defaults, stdout.New)

	return r
}
