package ga

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sidetrack-go/sidetrack"
	"github.com/sidetrack-go/sidetrack/internal/gawire"
)

// Advice is what the protocol takes and reports suffer from. A Checker says it beside the rules.
const (
	AdviceName      sidetrack.Reason = "name_of_the_tag"   // the tag on the page sends events of this name by itself
	AdviceDimension sidetrack.Reason = "no_dimension"      // no custom dimension can be made of this name
	AdviceSession   sidetrack.Reason = "no_session"        // without a session the visitor does not count as active
	AdviceItems     sidetrack.Reason = "many_item_params"  // one of two limits in Google's pages
	AdviceFirstItem sidetrack.Reason = "only_first_item"   // others are not looked at
	AdviceValue     sidetrack.Reason = "no_value"          // of an event whose reports are about money
	AdviceSum       sidetrack.Reason = "value_not_the_sum" // of the items
	AdviceUserID    sidetrack.Reason = "user_data_alone"   // user data without a user id
	AdvicePersonal  sidetrack.Reason = "personal_data"     // Google forbids it
	AdviceLate      sidetrack.Reason = "late"              // may not be joined with what the tag collected
)

// Checker checks events against Google's rules without sending them. It is safe for concurrent use.
type Checker struct{ g *generator }

// NewChecker makes a checker for the stream of cfg. The api secret may be missing, and so may the measurement id
// of a web stream.
func NewChecker(cfg Config) (*Checker, error) {
	if cfg.MeasurementID == "" && cfg.FirebaseAppID == "" {
		cfg.MeasurementID = "G-0000000000"
	}
	if cfg.APISecret.IsZero() {
		cfg.APISecret = sidetrack.NewSecret("unchecked")
	}
	g, err := newGenerator(cfg)
	if err != nil {
		return nil, err
	}
	return &Checker{g}, nil
}

// Request makes the request of the event alone, for the validation server when the configuration says Validate.
func (c *Checker) Request(e *sidetrack.Event, at time.Time) (*sidetrack.Request, error) {
	r, err := c.g.Request(sidetrack.Unit{Events: []*sidetrack.Event{e}, At: at})
	if partial, ok := err.(*sidetrack.PartialError); ok {
		err = partial.Failed[0]
	}
	return r, err
}

// Check returns every rule that the event would break when sent at a time, with what the policy does about it, and
// then advice, which are warnings.
func (c *Checker) Check(e *sidetrack.Event, at time.Time) []Problem {
	w := &writer{policy: c.g.policy, checking: true}
	c.g.context(w, e)
	w.raw(`,"events":[`)
	c.g.writeEvent(w, e, at, 0)
	return append(w.problems, c.advice(e, at)...)
}

var email = regexp.MustCompile(`[A-Za-z0-9._%+-]{1,64}(@|%40)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){1,4}`)

func (c *Checker) advice(e *sidetrack.Event, at time.Time) (out []Problem) {
	say := func(rule sidetrack.Reason, field, format string, args ...any) {
		out = append(out, Problem{Rule: rule, Field: field, Text: fmt.Sprintf(format, args...), Warning: true})
	}
	if gawire.CollectedByTag(e.Name) {
		say(AdviceName, "name", "is one that Google's tag collects by itself: beside a tag it may count twice")
	}
	for _, k := range sortedKeys(e.Params) {
		if gawire.NoDimension(k) {
			say(AdviceDimension, inParams+k, "is a name no custom dimension can be made of")
		}
	}
	for _, k := range sortedKeys(e.UserProperties) {
		if gawire.NoUserDimension(k) {
			say(AdviceDimension, "user_properties."+k, "is a name no custom dimension can be made of")
		}
	}
	if !c.g.app && e.Visitor.SessionID == "" && e.Params["session_id"] == nil {
		say(AdviceSession, inParams+"session_id", "is missing: the event joins no session, and the visitor does not count as active")
	}
	if !e.UserData.IsZero() && e.Visitor.UserID == "" {
		say(AdviceUserID, "user_id", "is missing beside user_data")
	}
	if age := at.Sub(e.Time); !e.Time.IsZero() && age > 48*time.Hour && age <= MaxAge {
		say(AdviceLate, "timestamp_micros", "lies %s in the past: after 48h an event may not be joined with its session", age.Round(time.Minute))
	}
	c.personal(e, say)
	s := shopOf(&writer{}, e.Name, e)
	if s == nil {
		return out
	}
	need := recommended[e.Name]
	if need.money && !s.HasValue && s.Value == 0 && e.Name != "refund" {
		say(AdviceValue, inParams+"value", "is missing: %s is reported by its value", e.Name)
	}
	if err := s.CheckSum(); err != nil {
		say(AdviceSum, inParams+"value", "%s", strings.TrimPrefix(err.Error(), "ecommerce.value: "))
	}
	if e.Name == "view_promotion" && len(s.Items) > 1 {
		say(AdviceFirstItem, inParams+"items", "has %d entries, of which Google takes the first", len(s.Items))
	}
	for i := range s.Items {
		if n := len(s.Items[i].Params); n > 10 && n <= gawire.MaxItemParams {
			say(AdviceItems, fmt.Sprintf("params.items[%d]", i), "has %d parameters of its own: one page of Google's says at most 10", n)
		}
	}
	return out
}

// personal looks for e-mail addresses, the personal data that is most often sent by mistake.
func (c *Checker) personal(e *sidetrack.Event, say func(rule sidetrack.Reason, field, format string, args ...any)) {
	found := func(field string, v any) {
		if s, ok := v.(string); ok && email.MatchString(s) {
			say(AdvicePersonal, field, "holds an e-mail address: Google forbids personal data")
		}
	}
	found("user_id", e.Visitor.UserID)
	found(inParams+"page_location", e.Page.URL)
	found(inParams+"page_referrer", e.Page.Referrer)
	found(inParams+"page_title", e.Page.Title)
	for _, k := range sortedKeys(e.Params) {
		found(inParams+k, e.Params[k])
	}
	for _, k := range sortedKeys(e.UserProperties) {
		found("user_properties."+k, e.UserProperties[k])
	}
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
