package sidetrack

import "maps"

// said is what a handler said about its page and visitor, for the events that follow.
type said struct {
	title      string
	userID     string
	properties map[string]any // of the page: parameters of each event
	user       map[string]any
}

// SetTitle sets the page's title for the events that follow, among them the page view that the middleware
// sends when the page is out.
func (t *Tracker) SetTitle(title string) {
	t.say(func(s *said) { s.title = title })
}

// SetUser says that the visitor is this signed-in user, for the events that follow. id is the site's own,
// never an e-mail address or a name; "" means that nobody is signed in. properties is copied and adds to earlier ones.
// Unlike Identify it sends nothing.
func (t *Tracker) SetUser(id string, properties map[string]any) {
	properties = cloneMap(properties)
	t.say(func(s *said) {
		s.userID = id
		if s.user == nil {
			s.user = properties
		} else {
			maps.Copy(s.user, properties)
		}
	})
}

// SetPageProperty adds a parameter to the events that follow, unless they have their own of that
// name. It suits what describes the page: a category, an author, an experiment.
func (t *Tracker) SetPageProperty(name string, value any) {
	value = cloneValue(value)
	t.say(func(s *said) {
		if s.properties == nil {
			s.properties = make(map[string]any)
		}
		s.properties[name] = value
	})
}

func (t *Tracker) say(change func(*said)) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	change(&t.said)
}

// tell puts into e what was said.
func (t *Tracker) tell(e *Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.said.title != "" {
		e.Page.Title = t.said.title
	}
	if t.said.userID != "" {
		e.Visitor.UserID = t.said.userID
	}
	for k, v := range t.said.user {
		if e.UserProperties == nil {
			e.UserProperties = make(map[string]any, len(t.said.user))
		}
		e.UserProperties[k] = cloneValue(v)
	}
	for k, v := range t.said.properties {
		e.SetParam(k, cloneValue(v))
	}
}
