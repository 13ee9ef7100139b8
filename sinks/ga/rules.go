package ga

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sidetrack-go/sidetrack"
)

// Rules of Google's reference of the Measurement Protocol that this package keeps before sending,
// because Google answers 2xx and drops silently what breaks them. They are the keys of Config.Policy, and
// the reasons of notes, drops and dead letters.
const (
	RuleNameRequired      sidetrack.Reason = "name_required"            // an event needs a name
	RuleNameInvalid       sidetrack.Reason = "name_invalid"             // names: letters, digits and '_', a letter first
	RuleNameTooLong       sidetrack.Reason = "name_too_long"            // 40 characters; 24 of a user property
	RuleNameReserved      sidetrack.Reason = "name_reserved"            // names and prefixes that Google keeps for itself
	RuleNameDuplicated    sidetrack.Reason = "name_duplicated"          // two names that are the same once they are valid
	RuleValueTooLong      sidetrack.Reason = "value_too_long"           // 100 characters; 36 of a user property; 300, 420, 1000 of page fields
	RuleValueInvalid      sidetrack.Reason = "value_invalid"            // neither text nor a finite number nor a bool
	RuleTooManyParams     sidetrack.Reason = "too_many_params"          // 25 of an event
	RuleTooManyProperties sidetrack.Reason = "too_many_user_properties" // 25 of a request
	RuleTooManyItems      sidetrack.Reason = "too_many_items"           // 200 of an event
	RuleTooManyItemParams sidetrack.Reason = "too_many_item_params"     // 27 custom ones of an item
	RuleClientRequired    sidetrack.Reason = "client_id_required"       // or an app instance id, in an app stream
	RuleCurrencyRequired  sidetrack.Reason = "currency_required"        // once there is a value
	RuleCurrencyInvalid   sidetrack.Reason = "currency_invalid"         // three letters, ISO 4217
	RuleTransactionID     sidetrack.Reason = "transaction_id_required"  // of a purchase or refund
	RuleItemID            sidetrack.Reason = "item_id_required"         // an item needs item_id or item_name
	RuleParamRequired     sidetrack.Reason = "param_required"           // other parameters that a recommended event requires
	RuleTooOld            sidetrack.Reason = "timestamp_too_old"        // 72 hours
	RuleFuture            sidetrack.Reason = "timestamp_in_future"
	RuleUserDataConsent   sidetrack.Reason = "user_data_consent" // user_data without ad_user_data
)

// Action is what to do where an event breaks a rule.
type Action string

// The actions. What they mean for one rule is in docs/ga4.md.
const (
	Clip   Action = "clip"   // make it fit: cut a text or list, replace characters of a name
	Drop   Action = "drop"   // leave out the smallest part that breaks the rule; the event, where that is the event
	Reject Action = "reject" // do not send the event: it becomes a dead letter with the reason
	Keep   Action = "keep"   // send it as it is
)

// rule says what can be done about a broken rule; the first action is the default: the one that loses least.
type rule struct {
	name    sidetrack.Reason
	actions []Action
}

var rules = []rule{
	{RuleNameRequired, []Action{Reject, Drop}},
	{RuleNameInvalid, []Action{Clip, Drop, Reject}},
	{RuleNameTooLong, []Action{Clip, Drop, Reject}},
	{RuleNameReserved, []Action{Drop, Reject}},
	{RuleNameDuplicated, []Action{Drop, Reject}},
	{RuleValueTooLong, []Action{Clip, Drop, Reject}},
	{RuleValueInvalid, []Action{Drop, Reject}},
	{RuleTooManyParams, []Action{Clip, Drop, Reject}},
	{RuleTooManyProperties, []Action{Clip, Drop, Reject}},
	{RuleTooManyItems, []Action{Clip, Drop, Reject}},
	{RuleTooManyItemParams, []Action{Clip, Drop, Reject}},
	{RuleClientRequired, []Action{Reject, Drop}},
	{RuleCurrencyRequired, []Action{Drop, Keep, Reject}},
	{RuleCurrencyInvalid, []Action{Clip, Drop, Reject}},
	{RuleTransactionID, []Action{Keep, Drop, Reject}},
	{RuleItemID, []Action{Drop, Keep, Reject}},
	{RuleParamRequired, []Action{Keep, Drop, Reject}},
	{RuleTooOld, []Action{Drop, Clip, Reject}},
	{RuleFuture, []Action{Clip, Drop, Reject}},
	{RuleUserDataConsent, []Action{Drop, Reject}},
}

// policy is the action of every rule.
type policy map[sidetrack.Reason]Action

// newPolicy completes what the configuration says. The key "default" stands for every rule that
// knows its action.
func newPolicy(set map[string]Action) (policy, error) {
	p := policy{}
	known := map[string]bool{"default": true}
	for _, r := range rules {
		known[string(r.name)] = true
		p[r.name] = r.actions[0]
		if a, ok := set["default"]; ok && slices.Contains(r.actions, a) {
			p[r.name] = a
		}
		if a, ok := set[string(r.name)]; ok {
			if !slices.Contains(r.actions, a) {
				return nil, &sidetrack.FieldError{Field: "policy." + string(r.name), Problem: fmt.Sprintf("cannot be %q: use %s", a, orList(r.actions))}
			}
			p[r.name] = a
		}
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if !known[name] {
			return nil, &sidetrack.FieldError{Field: "policy." + name, Problem: "is not a rule: " + ruleNames()}
		}
	}
	if a := set["default"]; a != "" && a != Clip && a != Drop && a != Reject && a != Keep {
		return nil, &sidetrack.FieldError{Field: "policy.default", Problem: fmt.Sprintf("cannot be %q: use clip, drop, reject or keep", a)}
	}
	return p, nil
}

func orList(actions []Action) string {
	var names []string
	for _, a := range actions {
		names = append(names, string(a))
	}
	return strings.Join(names, " or ")
}

func ruleNames() string {
	names := []string{"default"}
	for _, r := range rules {
		names = append(names, string(r.name))
	}
	return strings.Join(names, ", ")
}

// Problem is one rule that an event breaks. As an error it is why the event is not sent.
type Problem struct {
	Rule    sidetrack.Reason
	Field   string // in the request's terms: "name", "params.items[2].price", "user_properties.plan"
	Text    string // "has 101 characters, at most 100"
	Action  Action // what the policy does about it; empty for advice
	Warning bool   // allowed, but reports will suffer
}

// Error names the rule, the field and what is wrong with it.
func (p *Problem) Error() string { return "ga: " + string(p.Rule) + ": " + p.Field + " " + p.Text }
