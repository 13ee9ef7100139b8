package googlevectors

// pending are kinds of vectors whose part of the program is not there yet.
var pending = map[string]string{
	"ua-mp-v1 encode":   "the ua sink is still to come",
	"ua-mp-v1 reject":   "the ua sink is still to come",
	"ua-mp-v1 response": "the ua sink is still to come",
}
